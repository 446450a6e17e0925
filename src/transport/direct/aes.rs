//! AES-256-GCM as Noise uses it (revision 34, §12.4). snow would bring the crate's version 0.10, at half the speed.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce};
use snow::Error;
use snow::types::Cipher;

use crate::transport::direct::record::TAG_LEN;

/// The cipher; it has a key once [`set`](Cipher::set) was called.
#[derive(Default)]
pub(super) struct AesGcm(Option<Box<Aes256Gcm>>);

/// Whether AES-256-GCM is the fastest cipher here: the processor has instructions for it, and the code that calls them was
/// optimised. (What is generic is compiled with this crate, and without optimisation comes to a few MB/s.)
pub fn has_fast_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    // Without AVX polyval multiplies in software.
    let has_instructions = is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("avx");
    #[cfg(target_arch = "aarch64")]
    let has_instructions =
        std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_instructions = false;
    has_instructions && !cfg!(debug_assertions)
}

impl AesGcm {
    fn keyed(&self) -> &Aes256Gcm {
        self.0.as_ref().expect("snow sets a key before it uses it")
    }
}

/// Four zeros and the number, big-endian.
fn nonce(number: u64) -> Nonce<Aes256Gcm> {
    let mut nonce = Nonce::<Aes256Gcm>::default();
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(Box::new(Aes256Gcm::new(key.into())));
    }

    fn encrypt(&self, number: u64, associated: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out.split_at_mut(plain.len());
        let both = InOutBuf::new(plain, text).expect("they were cut to one length");
        let made = self.keyed().encrypt_inout_detached(&nonce(number), associated, both);
        tag[..TAG_LEN].copy_from_slice(&made.expect("snow's messages are far below the cipher's limits"));
        plain.len() + TAG_LEN
    }

    fn decrypt(&self, number: u64, associated: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        let both = InOutBuf::new(text, out).map_err(|_| Error::Decrypt)?;
        let opened = self.keyed().decrypt_inout_detached(&nonce(number), associated, both, tag.into());
        opened.map(|()| text.len()).map_err(|_| Error::Decrypt)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use snow::{Builder, HandshakeState};

    use crate::env::{Env, ManualClock};
    use crate::transport::direct::noise::Resolver;
    use crate::types::Timestamp;

    /// From cacophony, an implementation of Noise in Haskell: `Noise_NN_25519_AESGCM_SHA256`.
    const MESSAGES: [(&str, &str); 6] = [
        (
            "4c756477696720766f6e204d69736573",
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573",
        ),
        (
            "4d757272617920526f746862617264",
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843934ff73eebb9d930ebf62b8e4db8133ca93687\
             2b5551efd7c9989c646d8cf0",
        ),
        ("462e20412e20486179656b", "8d372b94914e80018211a344b8b1c5a2869492a0db46990c0362f3"),
        ("4361726c204d656e676572", "e183b0abd55550f9955fb05476d988c6f27628d7bbde111c39ccbc"),
        (
            "4a65616e2d426170746973746520536179",
            "167293a79ad6a647114c4f4eb55bdf713a0d44ae48765c07fc4e57743100825021",
        ),
        (
            "457567656e2042f6686d20766f6e2042617765726b",
            "2b67a18ae246069c51687bee89141041d9d35a821f852975d169a4f80f75c735807a1fd157",
        ),
    ];
    const EPHEMERAL_KEYS: [&str; 2] = [
        "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    ];

    fn side(index: usize) -> HandshakeState {
        let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(0))));
        let protocol = "Noise_NN_25519_AESGCM_SHA256".parse().unwrap();
        let key = hex::decode(EPHEMERAL_KEYS[index]).unwrap();
        let builder = Builder::with_resolver(protocol, Box::new(Resolver(env)))
            .prologue(b"John Galt")
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&key);
        if index == 0 { builder.build_initiator() } else { builder.build_responder() }.unwrap()
    }

    #[test]
    fn texts_are_sealed_as_another_implementation_seals_them() {
        let mut sides = [side(0), side(1)];
        let messages = MESSAGES.map(|(text, sealed)| [text, sealed].map(|hex| hex::decode(hex).unwrap()));
        for (by, [text, sealed]) in messages[..2].iter().enumerate() {
            let (mut written, mut read) = ([0; 200], [0; 200]);
            let len = sides[by].write_message(text, &mut written).unwrap();
            assert_eq!(&written[..len], sealed);
            let len = sides[1 - by].read_message(sealed, &mut read).unwrap();
            assert_eq!(&read[..len], text);
        }
        let sides = sides.map(|side| side.into_stateless_transport_mode().unwrap());
        for (index, [text, sealed]) in messages[2..].iter().enumerate() {
            let (by, number) = (index % 2, index as u64 / 2);
            let (mut written, mut read) = ([0; 200], [0; 200]);
            let len = sides[by].write_message(number, text, &mut written).unwrap();
            assert_eq!(&written[..len], sealed);
            let len = sides[1 - by].read_message(number, sealed, &mut read).unwrap();
            assert_eq!(&read[..len], text);
        }
    }
}
