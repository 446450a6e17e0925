//! The binary as people run it: real processes, sockets and disks.

#![expect(unreachable_pub, reason = "support is shared with the benches, which have no crate around them")]

mod damage;
mod interrupt;
mod promises;
mod recovery;
mod roundtrip;
mod support;
