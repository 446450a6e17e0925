//! Tags: keyed names, by which the vault finds again what it has, and nobody else can (docs/format.md, "Tags").

use crate::types::Tag;

use super::derive::hmac_sha256;
use super::secret::TagKey;

/// Name of a segment: `HMAC-SHA256(key, plaintext)`.
pub fn segment_tag(plain: &[u8], key: &TagKey) -> Tag {
    Tag::new(hmac_sha256(key.expose(), &[plain]))
}

/// Name of a tree page or reference list: `HMAC-SHA256(key, item type || encoding)`.
pub fn tree_tag(item_type: u8, encoding: &[u8], key: &TagKey) -> Tag {
    Tag::new(hmac_sha256(key.expose(), &[&[item_type], encoding]))
}
