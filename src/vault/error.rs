//! What can go wrong with a home, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::crypt::CryptError;
use crate::format::FormatError;
use crate::format::chain::RecordFault;
use crate::types::{DeviceId, SnapshotId, Timestamp};

/// An error of the `vault` layer. [`VaultError::remedy`] is the second line that people see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no vault where one was expected.
    #[error("there is no vault in {}", path.display())]
    NoHome {
        /// The home that was named.
        path: PathBuf,
    },
    /// A vault was to be made where one is already.
    #[error("{} holds a vault already; nothing was changed", path.display())]
    HomeExists {
        /// The home that was named.
        path: PathBuf,
    },
    /// Another process has the home open.
    #[error("{} is in use by another blobdvm{}", path.display(), process(*pid))]
    Locked {
        /// The home.
        path: PathBuf,
        /// The process that holds it, if it said so.
        pid: Option<u32>,
    },
    /// Other users may read or change the key file.
    #[error("the file {} with a secret key is open to others (mode {mode:04o})", path.display())]
    LooseKeyFile {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A text that is no secret key. The text itself is not repeated.
    #[error("{source_name} holds no secret key (nsec or 64 hexadecimal digits)")]
    NotAKey {
        /// Where the text came from.
        source_name: String,
    },
    /// A text that is no capability. The text itself is not repeated.
    #[error("{source_name} holds no capability")]
    NotACapability {
        /// Where the text came from.
        source_name: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A file of the home that is not what was written there.
    #[error("{} is damaged", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record in the middle of a chain is not what was written there.
    #[error("record {sequence} of device {} is damaged, {offset} bytes into its log", device.short())]
    DamagedRecord {
        /// Whose chain.
        device: DeviceId,
        /// Which record, from 0.
        sequence: u64,
        /// Where in the log it begins.
        offset: u64,
        /// What is wrong with it.
        #[source]
        fault: RecordFault,
    },
    /// A log is shorter than it once was.
    #[error("the log of device {} has {len} bytes where {synced} were written", device.short())]
    TruncatedLog {
        /// Whose chain.
        device: DeviceId,
        /// Bytes that are there.
        len: u64,
        /// Bytes that were safely written once.
        synced: u64,
    },
    /// Records to import contradict those that the home has.
    #[error("the chain of device {} forks: record {sequence} is not the one that this home has", device.short())]
    ChainForks {
        /// Whose chain.
        device: DeviceId,
        /// The first record that differs.
        sequence: u64,
    },
    /// Records to import do not reach as far as those that the home has.
    #[error("the chain of device {} has {given} records where this home has {known}", device.short())]
    ChainShorter {
        /// Whose chain.
        device: DeviceId,
        /// Records that were given.
        given: u64,
        /// Records that the home has.
        known: u64,
    },
    /// Records to import begin behind the end of those that the home has.
    #[error("records {known} to {} of device {} are missing", first.saturating_sub(1), device.short())]
    ChainGap {
        /// Whose chain.
        device: DeviceId,
        /// Records that the home has.
        known: u64,
        /// The first record that was given.
        first: u64,
    },
    /// Records that the home does not have.
    #[error("records {first} to {last} of device {} are not in this home", device.short())]
    NoSuchRecords {
        /// Whose chain.
        device: DeviceId,
        /// The first that was asked for.
        first: u64,
        /// The last that was asked for.
        last: u64,
    },
    /// The vault has had too many devices.
    #[error("the vault has {max} devices already, and may not have more")]
    TooManyChains {
        /// How many it may have.
        max: usize,
    },
    /// A verify device has recorded more than it may.
    #[error("the chain of verify device {} would be longer than {max} bytes", device.short())]
    ChainTooLong {
        /// Whose chain.
        device: DeviceId,
        /// How many bytes it may have.
        max: u64,
    },
    /// The vault has too many verify devices.
    #[error("the vault has {max} verify devices that are not revoked, and may not have more")]
    TooManyGrants {
        /// How many it may have.
        max: usize,
    },
    /// Nothing is known of the device.
    #[error("no device of this vault has an id that begins with {text:?}")]
    NoSuchDevice {
        /// As it was given.
        text: String,
    },
    /// A write failed earlier, and what is on disk is not known any more.
    #[error("an earlier write to the manifest failed")]
    NeedsReopen,
    /// The catalog does not fit the manifest.
    #[error("the catalog does not fit the manifest: {what}")]
    DamagedCatalog {
        /// What does not fit.
        what: &'static str,
    },
    /// The catalog's engine failed.
    #[error("the catalog cannot be used")]
    Catalog {
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// What was asked for needs the vault's secret, and the home was opened by a capability.
    #[error("this home was opened by a verify capability, which cannot read what the vault holds")]
    ContentsSealed,
    /// The operating system said no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A key is not valid.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// Something cannot be encoded or decoded.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl VaultError {
    /// What a person can do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoHome { .. } => "make a vault with `blobdvm init`, or bring one back with `blobdvm recover`".into(),
            Self::HomeExists { .. } => "use it as it is, or name another home with --home DIR".into(),
            Self::Locked { .. } => "wait until the other one has ended, then run this again".into(),
            Self::LooseKeyFile { path, .. } => format!("chmod 600 '{}'", path.display()),
            Self::NotAKey { .. } => "give the secret key as `init` showed it: one line that begins with nsec1".into(),
            Self::Format(FormatError::UnknownVersion { .. })
            | Self::NotACapability { source: FormatError::UnknownVersion { .. }, .. } => "use a newer blobdvm".into(),
            Self::NotACapability { .. } => {
                "give the file as `blobdvm capability export` wrote it: one line, beginning with blobdvm-verify1:".into()
            }
            Self::DamagedFile { path, .. } if path.ends_with("key") => {
                "put the key that `init` showed into it, one line that begins with nsec1".into()
            }
            Self::DamagedFile { path, .. } => {
                format!("remove '{}': it is made anew; name your relays once more with --relay", path.display())
            }
            Self::DamagedRecord { .. } | Self::TruncatedLog { .. } => {
                "keep this home aside and build a new one: `blobdvm --home NEW recover --key-file OLD/key`".into()
            }
            Self::ChainForks { .. } | Self::ChainShorter { .. } | Self::ChainGap { .. } => {
                "run `blobdvm recover` again with all your relays; a relay may have given an old or foreign head".into()
            }
            Self::Io { .. } => "check that the disk has room and that the home belongs to you".into(),
            Self::Catalog { source } if matches!(**source, redb::Error::Io(_) | redb::Error::PreviousIo) => {
                "check that the disk has room and that the home belongs to you".into()
            }
            Self::DamagedCatalog { .. } | Self::Catalog { .. } => {
                "remove catalog.redb from the home: it is rebuilt from the manifest".into()
            }
            Self::ChainTooLong { .. } => {
                "revoke its capability and make a new one: `blobdvm capability export --verify -o FILE`".into()
            }
            Self::TooManyGrants { .. } => "revoke one with `blobdvm capability revoke ID`".into(),
            Self::NoSuchDevice { .. } => "`blobdvm capability list` shows them; give more or less of the id".into(),
            Self::ContentsSealed => "run it where the vault's key is, without --capability".into(),
            Self::NeedsReopen => "look for the first error above, mend its cause and run this again".into(),
            Self::TooManyChains { .. } => "begin a new vault with `blobdvm init` in another home".into(),
            Self::NoSuchRecords { .. } | Self::Crypt(_) | Self::Format(_) => {
                "check the home with `blobdvm manifest verify`".into()
            }
        }
    }

    /// True if bytes are not what was written or signed: an integrity failure rather than a nuisance.
    pub fn is_integrity_failure(&self) -> bool {
        matches!(
            self,
            Self::DamagedFile { .. }
                | Self::DamagedRecord { .. }
                | Self::TruncatedLog { .. }
                | Self::ChainForks { .. }
                | Self::ChainShorter { .. }
        )
    }

    pub(crate) fn damaged_file(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::DamagedFile { path: path.to_owned(), source: source.into() }
    }

    /// For `map_err`: an error of the operating system.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// For `map_err`: an error of the catalog's engine.
    pub(crate) fn catalog(error: impl Into<redb::Error>) -> Self {
        Self::Catalog { source: Box::new(error.into()) }
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// A snapshot was named, and it is not clear which one is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// None has this id or name.
    #[error("there is no snapshot {text:?}")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// Several ids begin like this.
    #[error("{} snapshots have an id that begins with {text:?}", candidates.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Those that could be meant: id, name and when it was made, oldest first.
        candidates: Vec<(SnapshotId, String, Timestamp)>,
    },
    /// The one with this id was removed.
    #[error("snapshot {} was removed", id.short())]
    Removed {
        /// Its id.
        id: SnapshotId,
    },
    /// The manifest could not be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
