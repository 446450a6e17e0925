//! The binary as people run it: real processes, sockets and disks.

mod damage;
mod interrupt;
mod promises;
mod recovery;
mod roundtrip;
mod support;
