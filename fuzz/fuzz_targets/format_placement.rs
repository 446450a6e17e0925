//! Reads an opened body of placement items.
#![no_main]
use blobdvm::format::PlacementItem;
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::body::<PlacementItem>(bytes));
