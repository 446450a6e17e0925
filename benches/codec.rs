//! How fast a core turns plaintext into shards and back, stage by stage: `cargo bench --bench codec`, the last part of
//! `blobdvm bench`.

use blobdvm::cli::bench::codec;
use blobdvm::env::Env;
use blobdvm::erasure::Scheme;

fn main() {
    let scheme = Scheme::new(2, 3).expect("2 of 3 is a scheme");
    println!("GB/s of plaintext on one core, {scheme}");
    for stage in codec::measure(scheme, false, &Env::system()) {
        println!("{}", stage.line());
    }
}
