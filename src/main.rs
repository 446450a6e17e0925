//! The `blobdvm` program.

fn main() {}
