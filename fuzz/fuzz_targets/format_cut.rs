//! Cuts a file, and proves the leaves of the Merkle tree over it.
#![no_main]
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::cut(bytes));
