//! What can be asked of a get, and what it says it has done.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::client::error::Failure;
use crate::types::ProviderId;

/// Where restored files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into this folder, under their own names; for a single file that is no folder yet, the file's name.
    Path(PathBuf),
    /// One file's bytes to standard output.
    Stdout,
    /// Nowhere: everything is fetched and compared, nothing is written.
    Nowhere,
}

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// They are replaced.
    Always,
    /// They are replaced unless length and time are those that are recorded.
    #[default]
    IfChanged,
    /// They are left alone.
    Never,
}

/// How to get.
#[derive(Debug, Clone)]
pub struct GetOptions {
    /// Parts of the snapshot, as paths or patterns; none means all of it.
    pub paths: Vec<PathBuf>,
    /// Where to.
    pub destination: Destination,
    /// What becomes of files that are there already.
    pub overwrite: Overwrite,
    /// Providers to ask before any other.
    pub preferred: BTreeSet<ProviderId>,
}

/// What a get has done.
#[derive(Debug, Default)]
pub struct GetOutcome {
    /// Files restored, or compared where nothing is written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes among them that an earlier get, which was cut off, had fetched.
    pub resumed: u64,
    /// Entries other than folders that were there already, as recorded.
    pub unchanged: u64,
    /// Entries other than folders that were there already and were left alone.
    pub kept: u64,
    /// What is recorded and could not be restored here, by kind.
    pub not_restored: Vec<NotRestored>,
    /// Files that cannot be restored, because too few of their shards are left or something does not authenticate.
    pub lost: Vec<PathBuf>,
    /// Providers that failed; others made up for them.
    pub failures: Vec<Failure>,
}

/// Something that is recorded and could not be restored here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRestored {
    /// What.
    pub what: Withheld,
    /// Of how many entries.
    pub count: u64,
    /// The first of them.
    pub example: PathBuf,
}

/// What a system may withhold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withheld {
    /// User or group.
    Owner,
    /// Permission bits.
    Mode,
    /// Time of the last change.
    Time,
    /// Extended attributes.
    Attributes,
    /// Hard links: copies were made.
    HardLink,
    /// Devices.
    Device,
    /// Sockets: they are recorded, but mean nothing without the program that listened.
    Socket,
}

impl Withheld {
    /// Its name in the singular, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Mode => "mode",
            Self::Time => "time",
            Self::Attributes => "extended attributes",
            Self::HardLink => "hard link",
            Self::Device => "device",
            Self::Socket => "socket",
        }
    }
}

impl GetOptions {
    /// All of a snapshot to `destination`.
    pub fn all_to(destination: Destination) -> Self {
        let (paths, overwrite, preferred) = Default::default();
        Self { paths, destination, overwrite, preferred }
    }
}
