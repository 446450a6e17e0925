//! Codes a pack and brings it back without some of its shards.
#![no_main]
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::pack(bytes));
