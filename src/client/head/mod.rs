//! Heads: small sealed texts that say where a device's manifest is (docs/format.md, "Head").
//!
//! | file | what |
//! |---|---|
//! | `find` | which heads are on the relays; which is the newest, and who offers older ones |
//! | `run` | a stretch of records out to providers, and back |
//! | `publish` | the newest records out, a new head to every relay, read back |

pub(crate) mod find;
mod publish;
pub(crate) mod run;
