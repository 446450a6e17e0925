//! What can end a put, a get or a recovery.

use std::path::PathBuf;

use crate::client::exchange::ExchangeError;
use crate::client::get::GetOutcome;
use crate::crypt::CryptError;
use crate::erasure::CodecError;
use crate::format::FormatError;
use crate::transport::TransportError;
use crate::types::{DeviceId, PackId, ProviderId};
use crate::vault::VaultError;

/// A failure of the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Fewer providers answered and qualify than each pack is to be spread over.
    #[error("{have} of {wanted} providers answered")]
    TooFewProviders {
        /// Providers that can be used.
        have: usize,
        /// The spread that was asked for.
        wanted: usize,
        /// Who could not be used, and why.
        failures: Vec<Failure>,
    },
    /// Relays may not be used, and none of the providers that were found can be reached without them.
    #[error("none of {found} providers announces a direct endpoint")]
    NoEndpoints {
        /// How many were found.
        found: usize,
    },
    /// A pack could not be brought to the wanted spread: providers failed and no spare was left.
    #[error("pack {} reached {have} of {wanted} providers", pack.short())]
    SpreadNotReached {
        /// The pack.
        pack: PackId,
        /// Shards that were receipted.
        have: usize,
        /// The spread that was asked for.
        wanted: usize,
        /// Who failed, and why.
        failures: Vec<Failure>,
    },
    /// Fewer than `need` shards of a pack could be fetched.
    #[error("pack {} cannot be restored: {have} of {need} shards found", pack.short())]
    TooFewShards {
        /// The pack.
        pack: PackId,
        /// Intact shards that were found.
        have: usize,
        /// Shards that are enough.
        need: usize,
        /// Who failed, and why.
        failures: Vec<Failure>,
    },
    /// Some files cannot be restored; the others were.
    #[error("{} of {} files cannot be restored", outcome.lost.len(), outcome.lost.len() as u64 + outcome.files)]
    Incomplete {
        /// What was done all the same.
        outcome: Box<GetOutcome>,
        /// Why the first of them cannot.
        source: Box<ClientError>,
    },
    /// What was restored differs from what was recorded.
    #[error("{what} differs from its recorded length or SHA-256")]
    Integrity {
        /// What was restored.
        what: String,
    },
    /// The manifest names something that it does not hold.
    #[error("the manifest names {what}, which it does not hold")]
    Dangling {
        /// What is missing.
        what: String,
    },
    /// A path that is not in the snapshot.
    #[error("{path:?} is not in the snapshot")]
    NoSuchPath {
        /// The path as it was asked for.
        path: PathBuf,
        /// Paths that could have been meant.
        similar: Vec<PathBuf>,
    },
    /// The head was published, but no relay gave it back.
    #[error("the head was not read back from any relay within {waited_secs} s")]
    HeadNotReadBack {
        /// How long was waited, in seconds.
        waited_secs: u64,
    },
    /// No head of this vault was found anywhere that was looked.
    #[error("no head of this vault was found on {relays} relays and {providers} providers")]
    NoHead {
        /// Relays that answered.
        relays: usize,
        /// Providers that answered.
        providers: usize,
    },
    /// No relay answered, so nobody knows what the vault's other devices have done.
    #[error("no relay answered when it was asked for the heads of this vault's devices")]
    RelaysSilent,
    /// The newest records of a device could not be had, and nothing may be deleted without them (invariant I12).
    #[error("device {} cannot be read up to its newest head: {why}", device.short())]
    DeviceUnread {
        /// The device.
        device: DeviceId,
        /// Why not.
        why: String,
    },
    /// This verify device does not count any more.
    #[error("this capability, device {}, was revoked", device.short())]
    Revoked {
        /// The device.
        device: DeviceId,
    },
    /// Two homes have used one capability.
    #[error("another home has gone on with this capability, device {}", device.short())]
    CapabilityShared {
        /// The device.
        device: DeviceId,
    },
    /// A device cannot revoke itself.
    #[error("device {} is the one that you are using", device.short())]
    OwnDevice {
        /// The device.
        device: DeviceId,
    },
    /// Nothing can be deleted at once where another device may rely on it.
    #[error("this vault has {count} devices, and the others may rely on what would be deleted at once")]
    SeveralDevices {
        /// How many.
        count: usize,
    },
    /// A local file or folder could not be read or written.
    #[error("{path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A destination that cannot be written to as asked.
    #[error("{path:?} {why}")]
    Destination {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A pattern that says nothing, or the file that patterns are read from.
    #[error("the pattern {pattern:?} is not understood: {why}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name or tag that the format has no room for.
    #[error("{text:?} is {} bytes long, and names have at most {max}", text.len())]
    LabelTooLong {
        /// As it was given.
        text: String,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// This home holds records that contradict the published ones of their device: it is a copy that went its own way.
    #[error("this home has records of device {} that contradict its published ones", device.short())]
    ForkedHome {
        /// Whose records.
        device: DeviceId,
    },
    /// The user wants nothing stored at a provider, and named it for a put.
    #[error("provider {} is banned", provider.short())]
    Banned {
        /// The provider.
        provider: ProviderId,
    },
    /// The thread that reads what is to be put ended early.
    #[error("reading stopped before everything was read")]
    ReadingStopped,
    /// While a long put ran, something that it builds on was lost or let go.
    #[error("something that this snapshot builds on was lost or let go while it was made")]
    LetGoMeanwhile,
    /// It was told to stop. What can be gone on from is recorded.
    #[error("interrupted")]
    Interrupted,
    /// Standard output was closed or failed.
    #[error("standard output")]
    Stream(#[source] std::io::Error),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A provider failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The relays failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A record or a pack is not as the format has it.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Something does not authenticate.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// Shards do not fit together.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl ClientError {
    /// True if a file, or the pack that it lies in, is lost or not what was recorded: that says nothing about others.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::TooFewShards { .. }
                | Self::Integrity { .. }
                | Self::Dangling { .. }
                | Self::Format(_)
                | Self::Crypt(_)
                | Self::Codec(_)
        )
    }
}

/// One provider's failure: not the operation's, as long as others make up for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who failed.
    pub provider: ProviderId,
    /// The pack that was concerned, if one was.
    pub pack: Option<PackId>,
    /// Why, as a lowercase fragment.
    pub why: String,
    /// True if what the provider sent is wrong, rather than missing.
    pub corrupt: bool,
}

impl Failure {
    /// What `error` says about `provider`.
    pub fn new(provider: ProviderId, pack: Option<PackId>, error: &ExchangeError) -> Self {
        let corrupt = matches!(error, ExchangeError::Corrupt { .. });
        // The provider has a field of its own.
        let named = format!("provider {} ", provider.short());
        let text = error.to_string();
        let why = text.strip_prefix(&named).unwrap_or(&text).to_owned();
        Self { provider, pack, why, corrupt }
    }
}
