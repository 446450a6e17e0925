//! The words of the domain: ids, indexes, times and limits. Pure; imports nothing of ours.

pub mod id;
pub mod index;
pub mod limits;
pub mod time;

pub use id::{
    BlobHash, ClientId, DeviceId, MerkleRoot, PackId, ParseIdError, ProviderId, SnapshotId, Tag, VaultId,
};
pub use index::{ChunkIndex, ShardIndex};
pub use time::Timestamp;
