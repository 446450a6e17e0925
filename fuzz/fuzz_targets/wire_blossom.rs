//! See `blobdvm::wire::fuzz`.
#![no_main]

use blobdvm::wire::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::blossom(bytes));
