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

/// Name of something that the home remembers: `HMAC-SHA256(key, parts end to end)`. The parts before the last one must have
/// a fixed length.
pub fn seen_tag(parts: &[&[u8]], key: &TagKey) -> Tag {
    Tag::new(hmac_sha256(key.expose(), parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_hmac_sha256() {
        // RFC 4231, test case 1, its key of 20 bytes filled up with zeros as HMAC does.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(segment_tag(b"Hi There", &TagKey::new(key)).to_string(), expected);
    }

    #[test]
    fn tag_depends_on_key_and_type() {
        let (a, b) = (TagKey::new([1; 32]), TagKey::new([2; 32]));
        assert_ne!(segment_tag(b"text", &a), segment_tag(b"text", &b));
        assert_ne!(tree_tag(2, b"text", &a), tree_tag(3, b"text", &a));
        assert_eq!(tree_tag(2, b"text", &a), segment_tag(b"\x02text", &a));
    }
}
