//! The format of what a vault stores (docs/format.md): segments, packs, the manifest's records, heads. Pure.
//!
//! put: [`segment::Cutter`] → [`segment::seal`] → [`pack::PackBuilder`] → [`pack::FilledPack::encode`]
//! → [`placement`] and [`content`] items → [`record::Body::of`] → [`record::Record::seal`] → [`head::Head::seal`].
//!
//! get: [`head::Head::open`] → [`record::Record::open`] → [`Coding::decode`] → [`segment::open`].

pub mod capability;
pub mod chain;
pub mod codec;
pub mod compress;
pub mod content;
pub mod fuzz;
pub mod grant;
pub mod head;
pub mod liveness;
pub mod manifest;
pub mod needs;
pub mod pack;
pub mod part;
pub mod placement;
pub mod record;
pub mod removal;
pub mod runs;
pub mod segment;
pub mod tree;

mod error;

pub use capability::Capability;
pub use chain::{Chain, ChainKeys, Items, RecordFault};
pub use content::{ContentItem, Piece, RefList, Refs, Segment, Snapshot};
pub use error::FormatError;
pub use grant::{Grant, Revoke};
pub use head::{Head, OtherHead, PackRef, Run, RunDepth, RunIndex};
pub use liveness::{PackFate, Removals};
pub use manifest::{EncodedManifestPack, ManifestPack};
pub use needs::NeedsAfter;
pub use pack::{EncodedPack, FilledPack, PackBuilder, Pushed, VerifiedShard};
pub use part::PackBytes;
pub use placement::{ChainEnd, Coding, Device, Needs, Pack, PlacementItem, Promise, Promises, ShardName};
pub use record::{Body, Place, Record, RecordHash};
pub use removal::{Condemn, Dropped, Release};
pub use runs::{Plan, RunSpan};
pub use segment::Cutter;
pub use tree::{Entry, EntryKind, File, Hole, TreePage, Xattr};

#[cfg(test)]
mod tests;
