//! The campaign: the whole system in one process on virtual time, under random faults that follow from a seed, with
//! every law checked after every step.
//!
//! `cargo test --test sim` runs 200 seeds of each campaign. `BLOBDVM_SEEDS=10000 cargo test --release --test sim` runs as
//! many as are asked for, and `BLOBDVM_SEED=123` one. A seed that fails tells its story and the command that replays it.
//!
//! | file | what |
//! |---|---|
//! | `seeds` | runs seeds on all cores, and tells what failed |
//! | `story` | what has happened in a run |
//! | `world` | a network, the homes of one vault, and what should be in it |
//! | `operations` | what people do: put, get, rm, prune, a second device |
//! | `care` | looking after it: check, repair, renew, watch |
//! | `faults` | what goes wrong, and how much of it may at a time |
//! | `laws` | what must hold after every step |
//! | `campaign` | a random schedule of all that, in two phases |
//! | `beyond` | more lost than can be made up for |
//! | `crash` | every operation cut off between any two of its steps |
//! | `year` | a year in which providers leave, and the vault is watched |
//! | `scale` | a vault of very many blobs |

mod beyond;
mod campaign;
mod care;
mod crash;
mod faults;
mod laws;
mod operations;
mod scale;
mod seeds;
mod story;
mod world;
mod year;
