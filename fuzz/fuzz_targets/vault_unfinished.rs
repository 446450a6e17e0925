//! See `blobdvm::vault::fuzz`.
#![no_main]

use blobdvm::vault::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::unfinished(bytes));
