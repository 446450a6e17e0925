//! The words of the domain: ids, indexes, times, limits, Merkle trees. Pure; imports nothing of ours.

pub mod blob;
pub mod chunk_len;
pub mod id;
pub mod index;
pub mod limits;
pub mod merkle;
mod sha256;
pub mod time;

pub use blob::Blob;
pub use chunk_len::ChunkLen;
pub use id::{
    AuditNonce, BlobHash, ClientId, DeviceId, MerkleRoot, PackId, ParseIdError, ProviderId, SnapshotId, Tag,
    VaultId,
};
pub use index::{ChunkIndex, ShardIndex};
pub use merkle::merkle_root;
pub use time::Timestamp;
