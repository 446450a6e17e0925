//! The binary as people run it: real processes, sockets and disks.

#![expect(clippy::disallowed_methods, reason = "real processes run on the real clock")]

mod bench;
mod capability;
mod cat;
mod damage;
mod decode;
mod direct;
mod health;
mod health_cli;
mod interrupt;
mod ls;
mod memory;
mod no_room;
mod overwrite;
mod promises;
mod put;
mod put_crash;
mod recovery;
mod removal;
mod removal_cli;
mod removal_crash;
mod restore;
mod resume;
mod roundtrip;
mod support;
mod vault_net;
