//! See `blobdvm::session::fuzz`.
#![no_main]

use std::time::Instant;

use blobdvm::session::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::pair::pair(bytes, Instant::now()));
