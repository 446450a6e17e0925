//! The client: a vault's files out to providers, and back.
//!
//! | file | what |
//! |---|---|
//! | [`directory`] | who is out there, and what they offer |
//! | [`roster`] | who answered in this run |
//! | [`placement`] | which provider gets which shard |
//! | [`exchange`] | blobs to and from providers: windows, retries, receipts |
//! | [`upload`] | packs out, every shard to a provider of its own; spares |
//! | [`audit`] | what to sample of a provider, and what samples say |
//! | [`catch_up`], `verifiers` | what other devices have published since; which of them count |
//! | `capability` | verify capabilities handed out and taken back |
//! | `confirm` | is a pack that is to be reused really there |
//! | [`put`] | files into the vault |
//! | [`get`] | files out of the vault |
//! | `head` | the manifest out, and the head that leads to it |
//! | [`health`] | is everything there and for how long; promises renewed, packs repaired |
//! | `crew` | the providers that take what is recorded or repaired |
//! | [`prune`] | snapshots removed, and what nothing needs any more let go |
//! | [`watch`] | rounds that keep a vault healthy by themselves |
//! | [`recover`] | a vault from its key |
//! | `withdraw` | everything that a vault has stored taken back |
//! | [`monitor`], [`error`] | what watchers are told; what can go wrong |
//! | `stop`, `strays` | being told to stop; what a run that was cut off left at providers |

pub mod audit;
pub mod base;
mod capability;
pub mod catch_up;
mod confirm;
mod crew;
pub mod directory;
pub mod error;
pub mod exchange;
pub mod get;
mod head;
pub mod health;
pub mod monitor;
pub mod placement;
pub mod prune;
pub mod put;
mod race;
pub mod recover;
pub mod roster;
mod stop;
mod strays;
pub mod upload;
mod verifiers;
pub mod watch;
mod withdraw;

pub use base::Client;
pub use catch_up::CaughtUp;
pub use directory::{Directory, ProviderTerms};
pub use error::{ClientError, Failure};
pub use exchange::{
    Acquaintance, AuditSample, AuditVerdict, Audited, CarrierChoice, DirectStanding, Exchange, ExchangeError,
    ExchangeOptions, Receipt, StoreOptions, measure_relays,
};
pub use get::{
    Action, CatOutcome, Destination, GetOptions, GetOutcome, NotRestored, Overwrite, Plan, Selected,
    Selection, Step, Withheld, select,
};
pub use health::{
    CheckOptions, CheckOutcome, Depth, Found, ListedPack, Listing, ProviderHealth, RenewOutcome,
    RepairOutcome, ShardCounts, Sight, Tally, Verdict,
};
pub use monitor::{Monitor, Unwatched};
pub use placement::Standing;
pub use prune::{PruneOptions, PruneOutcome, RemoveOptions, RemoveOutcome};
pub use put::{PutOptions, PutOutcome, Trouble, Troubles, WalkOptions, Why};
pub use recover::RecoverOutcome;
pub use roster::{Member, Roster};
pub use stop::Stop;
pub use watch::WatchOptions;
