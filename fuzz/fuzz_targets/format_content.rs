//! Reads an opened body of content items.
#![no_main]
use blobdvm::format::ContentItem;
use blobdvm::format::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::body::<ContentItem>(bytes));
