//! ChaCha20-Poly1305 as Noise uses it (revision 34, §12.3), from one piece of memory into another.
//!
//! snow's own cipher copies first and works in place then: on the direct path that was a copy of every byte more, on
//! either side.

use chacha20poly1305::aead::{AeadInOut, inout::InOutBuf};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use snow::Error;
use snow::types::Cipher;

use crate::transport::direct::record::TAG_LEN;

/// The cipher of one direction, under the key that snow has set.
#[derive(Default)]
pub(super) struct ChaChaPoly(Option<ChaCha20Poly1305>);

impl ChaChaPoly {
    fn keyed(&self) -> &ChaCha20Poly1305 {
        self.0.as_ref().expect("snow sets a key before it seals or opens")
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(ChaCha20Poly1305::new(key.into()));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out.split_at_mut(plaintext.len());
        let sealed = InOutBuf::new(plaintext, text).expect("cut to the same length");
        let made = self.keyed().encrypt_inout_detached(&nonce_of(nonce), authtext, sealed);
        tag[..TAG_LEN].copy_from_slice(&made.expect("a record is shorter than 256 GiB"));
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        let plain = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        let opened = InOutBuf::new(text, plain).map_err(|_| Error::Decrypt)?;
        self.keyed()
            .decrypt_inout_detached(&nonce_of(nonce), authtext, opened, &Tag::from(*tag))
            .map_err(|_| Error::Decrypt)?;
        Ok(text.len())
    }
}

/// 32 zero bits, and the number in 64 bits, least significant byte first. The number is the record's: `Sealer` gives none
/// twice, snow refuses the last one, and the key is of this connection and direction alone.
fn nonce_of(number: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use snow::params::CipherChoice;
    use snow::resolvers::{CryptoResolver, DefaultResolver};

    use super::*;

    const KEY: [u8; 32] = [0x42; 32];

    fn ours() -> ChaChaPoly {
        let mut cipher = ChaChaPoly::default();
        cipher.set(&KEY);
        cipher
    }

    /// snow's own, which is made of another version of the crate.
    fn theirs() -> Box<dyn Cipher> {
        let mut cipher = DefaultResolver.resolve_cipher(&CipherChoice::ChaChaPoly).unwrap();
        cipher.set(&KEY);
        cipher
    }

    fn sealed(cipher: &dyn Cipher, nonce: u64, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0xa5; plain.len() + TAG_LEN];
        assert_eq!(cipher.encrypt(nonce, b"ad", plain, &mut out), out.len());
        out
    }

    #[test]
    fn seals_and_opens_what_snows_own_does() {
        for (len, nonce) in [(0, 0), (1, 1), (64, 0x0102_0304_0506_0708), (65_519, u64::MAX)] {
            let plain: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let text = sealed(&ours(), nonce, &plain);
            assert_eq!(text, sealed(&*theirs(), nonce, &plain));
            let mut out = vec![0; len];
            assert_eq!(ours().decrypt(nonce, b"ad", &text, &mut out).unwrap(), len);
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn opens_nothing_that_was_changed_or_cut() {
        let text = sealed(&ours(), 7, b"text");
        let opens = |nonce, ad: &[u8], text: &[u8]| ours().decrypt(nonce, ad, text, &mut [0; 64]).is_ok();
        assert!(opens(7, b"ad", &text));
        assert!(!opens(8, b"ad", &text));
        assert!(!opens(7, b"da", &text));
        for end in 0..text.len() {
            assert!(!opens(7, b"ad", &text[..end]), "{end} bytes");
        }
        for place in 0..text.len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            assert!(!opens(7, b"ad", &changed), "byte {place}");
        }
    }
}
