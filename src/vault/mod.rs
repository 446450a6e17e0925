//! The vault on this machine: identity, settings, the manifest on disk and the catalog that is derived from it.
//!
//! ```text
//! Home::init / Home::open → Vault → append → Manifest: Record::seal → ChainLog (durable) → Catalog
//!                                 → segment, pack, snapshots … → Catalog (where) → OpenedRecords (what)
//! ```
//!
//! The manifest is the truth (invariant I6): one log of sealed, signed, chained records for each device. The catalog is
//! a cache of it. A crash at any instant leaves every acknowledged record readable; what was not acknowledged is cut
//! off when the home is opened next.

pub mod fuzz;

mod capability;
mod care;
mod catalog;
mod error;
mod files;
mod head_file;
mod home;
mod key_file;
mod liveness;
mod lock;
mod log;
mod lookup;
mod manifest;
mod nameless;
mod needs;
mod needs_among;
mod open_vault;
mod opened;
mod provider_record;
mod record_range;
mod seen;
mod settings;
mod snapshots;
mod unfinished;
mod verify;

pub use crate::format::RecordFault;
pub use capability::{read_capability, write_capability};
pub use care::{Blemish, Care, Moved, Round};
pub use error::{ResolveError, VaultError};
pub use head_file::HeadRelation;
pub use home::Home;
pub use key_file::{parse_secret, secret_text};
pub use lookup::PackEntry;
pub use manifest::Imported;
pub use needs_among::NeedsAmong;
pub use open_vault::Vault;
pub use provider_record::{Deed, ProviderRecord};
pub use record_range::RecordRange;
pub use seen::{SeenContent, SeenFile, SeenFiles, SeenUpdate};
pub use settings::{KnownProvider, Passage, Settings};
pub use unfinished::{Part, Sent, Unfinished};
pub use verify::{ChainReport, ItemCounts, VerifyReport};

#[cfg(test)]
mod tests;
