//! Packs out to providers: every shard to a provider of its own, each with a receipt. A provider that refuses or is
//! silent is replaced by another if there is one, and one that is late is raced by another.
//!
//! | file | what |
//! |---|---|
//! | `uploader` | what all uploads of one operation share |
//! | `pack` | one pack on its way |
//! | `strays` | copies of shards that came too late, and are let go again |

mod pack;
mod strays;
mod uploader;

pub use uploader::Tally;
pub(crate) use uploader::{Kept, Shards, Uploader};
