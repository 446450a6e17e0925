//! Bytes of blobs as text: standard base64 (RFC 4648 §4). Every byte that goes over a relay comes by here.

use base64_simd::STANDARD;

use crate::wire::WireError;

/// Encodes, with padding.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

/// Decodes what is padded and canonical; the caller has bounded its length.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, WireError> {
    Ok(STANDARD.decode_to_vec(text)?)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        // Two libraries read base64 in this program: what a chunk may hold must not depend on which.
        #[test]
        fn another_library_takes_and_gives_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            damage in proptest::option::of((any::<Index>(), "[A-Za-z0-9+/=_ \\n-]{0,2}")),
        ) {
            let mut text = encode_base64(&bytes);
            prop_assert_eq!(&text, &general_purpose::STANDARD.encode(&bytes));
            if let Some((at, with)) = damage && !text.is_empty() {
                let at = at.index(text.len());
                text.replace_range(at..=at, &with);
            }
            let expected = general_purpose::STANDARD.decode(&text).ok();
            prop_assert_eq!(decode_base64(&text).ok(), expected, "{}", text);
        }
    }
}
