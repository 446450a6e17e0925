//! The binary as people run it: real processes, sockets and disks.

#![expect(clippy::disallowed_methods, reason = "real processes run on the real clock")]

mod damage;
mod interrupt;
mod memory;
mod promises;
mod recovery;
mod roundtrip;
mod support;
