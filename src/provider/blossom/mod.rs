//! The server's half of HTTP Blossom, over the same store (BUD-01, BUD-02, BUD-11, BUD-12): who knows no BlobDVM can
//! read and store there, and `blobdvm bench` can compare. Minimal: no lists, no mirrors, no types of files.
//!
//! A key that stores by HTTP has a claim like any other (invariant I11), and its blob is promised for as long as the
//! provider promises any. Who may read what is as in the base protocol: everybody who knows the name, until it lapses.
//!
//! | file | what |
//! |---|---|
//! | `listen` | connections: how many, and how long they may stand still |
//! | `moving` | what has moved over a connection |
//! | `desk` | requests: who asks, what is done |
//! | `reply` | answers and refusals |

mod desk;
mod listen;
mod moving;
mod reply;
#[cfg(test)]
mod tests;

pub use listen::{BlossomOptions, BlossomServer};
