//! Reads one entry of a tree.
#![no_main]
use blobdvm::format::Entry;
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::canonical::<Entry>(bytes));
