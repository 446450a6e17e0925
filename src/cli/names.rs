//! Names as people write them: public keys, times, sizes.

use std::time::{Duration, UNIX_EPOCH};

use nostr::PublicKey;
use nostr::nips::nip19::{FromBech32, ToBech32};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::types::{ProviderId, Timestamp};

/// The provider's key as an npub (NIP-19); hexadecimal where the bytes are no key.
pub fn npub(provider: &ProviderId) -> String {
    let key = PublicKey::from_byte_array(*provider.as_bytes());
    key.to_bech32().unwrap_or_else(|_| provider.to_string())
}

/// A provider's key, given as npub or hexadecimal.
///
/// # Errors
/// A text that is neither.
pub fn provider(text: &str) -> Result<ProviderId, CliError> {
    let text = text.trim();
    let bech32 = PublicKey::from_bech32(text).map(|key| ProviderId::new(key.to_bytes()));
    bech32.or_else(|_| ProviderId::parse(text)).map_err(|error| {
        let remedy = "give the key as `blobdvm providers` shows it: npub1… or 64 hexadecimal digits";
        CliError::new(Exit::Usage, error, remedy)
    })
}

/// "1 file", "2 files".
pub fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A day and time in UTC.
pub fn time(at: Timestamp) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(at.0)) {
        Some(time) if at.0 < 253_402_300_800 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => format!("{} s after 1970", at.0),
    }
}

/// A day in UTC.
pub fn day(at: Timestamp) -> String {
    time(at).split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_npub_and_as_hexadecimal() {
        let key = nostr::Keys::generate().public_key();
        let id = ProviderId::new(key.to_bytes());
        assert_eq!(provider(&npub(&id)).unwrap(), id);
        assert_eq!(provider(&id.to_string()).unwrap(), id);
        assert!(provider("npub1nonsense").is_err());
    }

    #[test]
    fn times_are_shown_in_utc_and_far_ones_do_not_panic() {
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(day(Timestamp(86_400)), "1970-01-02");
        assert!(time(Timestamp(u64::MAX)).contains("after 1970"));
    }
}
