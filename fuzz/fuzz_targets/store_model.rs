//! See `blobdvm::store::fuzz`.
#![no_main]

use blobdvm::store::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::model::model(bytes));
