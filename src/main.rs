//! The `blobdvm` program; everything is in the library.
#![forbid(unsafe_code)]

/// A provider runs for months on what strangers send: freed memory must go back to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    blobdvm::cli::main()
}
