//! See `blobdvm::relay::fuzz`.
#![no_main]

use blobdvm::relay::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::client_message(bytes));
