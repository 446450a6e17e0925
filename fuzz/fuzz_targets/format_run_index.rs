//! Reads the index of a run.
#![no_main]
use blobdvm::format::RunIndex;
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::canonical::<RunIndex>(bytes));
