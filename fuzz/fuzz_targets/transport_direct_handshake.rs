//! See `blobdvm::transport::fuzz`.
#![no_main]

use blobdvm::transport::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::direct_handshake(bytes));
