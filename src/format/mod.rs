//! The format of what a vault stores (docs/format.md): segments, packs, the manifest's records, heads. Pure.
//!
//! put: [`segment::Cutter`] → [`segment::seal`] → [`pack::PackBuilder`] → [`pack::FilledPack::encode`]
//! → [`placement`] and [`content`] items → [`record::Body::of`] → [`record::Record::seal`] → [`head::Head::seal`].
//!
//! get: [`head::Head::open`] → [`record::Record::open`] → [`pack::decode`] → [`segment::open`].

pub mod codec;
pub mod compress;
pub mod content;
pub mod head;
pub mod placement;
pub mod record;
pub mod tree;

mod error;

pub use content::{ContentItem, Piece, RefList, Refs, Segment, Snapshot};
pub use error::FormatError;
pub use head::{Head, PackRef, Run, RunIndex};
pub use placement::{ChainEnd, Coding, Device, Needs, Pack, PlacementItem, Promise, Promises, ShardName};
pub use record::{Body, Place, Record, RecordHash};
pub use tree::{Entry, EntryKind, File, Hole, TreePage, Xattr};
