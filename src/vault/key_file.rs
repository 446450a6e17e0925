//! The key file: the vault's secret as an nsec (NIP-19), the one thing in a home that is not sealed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nostr::SecretKey;
use nostr::nips::nip19::ToBech32;
use zeroize::Zeroizing;

use crate::crypt::VaultSecret;
use crate::vault::{VaultError, files};

/// An nsec has 63 characters, hexadecimal 64; the rest is room for blanks.
const KEY_FILE_LEN_MAX: u64 = 256;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// The secret in `text`: an nsec or 64 hexadecimal digits, with blanks around it.
///
/// `source_name` says in the error where the text came from; the error never repeats the text.
pub fn parse_secret(text: &str, source_name: &str) -> Result<VaultSecret, VaultError> {
    let key = SecretKey::parse(text.trim())
        .map_err(|_| VaultError::NotAKey { source_name: source_name.to_owned() })?;
    Ok(VaultSecret::new(key.to_secret_bytes()))
}

/// The secret as people write it down: an nsec.
///
/// # Errors
/// If it is no secp256k1 secret key.
pub fn secret_text(secret: &VaultSecret) -> Result<Zeroizing<String>, VaultError> {
    let not_a_key = |()| VaultError::NotAKey { source_name: "the secret".to_owned() };
    let key = SecretKey::from_slice(secret.expose()).map_err(|_| not_a_key(()))?;
    Ok(Zeroizing::new(key.to_bech32().map_err(|_| not_a_key(()))?))
}

/// Writes the key file, durably and for the owner alone.
pub(crate) fn write(path: &Path, secret: &VaultSecret) -> Result<(), VaultError> {
    let mut text = secret_text(secret)?;
    text.push('\n');
    files::write_atomically(path, text.as_bytes())
}

/// Reads the key file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<VaultSecret>, VaultError> {
    let Some(bytes) = files::read_small(path, KEY_FILE_LEN_MAX)? else { return Ok(None) };
    refuse_loose(path)?;
    let text = str::from_utf8(&bytes).map_err(|_| VaultError::damaged_file(path, "it is no text"))?;
    let secret = parse_secret(text, "the key file").map_err(|error| VaultError::damaged_file(path, error))?;
    Ok(Some(secret))
}

/// # Errors
/// [`VaultError::LooseKeyFile`] if others than its owner may use the file.
pub(crate) fn refuse_loose(path: &Path) -> Result<(), VaultError> {
    let mode = fs::metadata(path).map_err(VaultError::io("look at", path))?.permissions().mode() & 0o7777;
    if mode & OTHERS == 0 { Ok(()) } else { Err(VaultError::LooseKeyFile { path: path.to_owned(), mode }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_round_trips_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path).unwrap().is_none());
        write(&path, &VaultSecret::new([7; 32])).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().expose(), &[7; 32]);
        assert!(fs::read_to_string(&path).unwrap().starts_with("nsec1"));
    }

    #[test]
    fn key_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, &VaultSecret::new([7; 32])).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, VaultError::LooseKeyFile { mode: found, .. } if found == mode));
            assert!(error.remedy().contains("chmod 600"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_secret_is_read_from_nsec_and_hexadecimal_and_never_repeated_in_an_error() {
        let secret = VaultSecret::new([9; 32]);
        let nsec = secret_text(&secret).unwrap();
        for text in [nsec.as_str(), &"09".repeat(32), &format!("  {}\n", nsec.as_str())] {
            assert_eq!(parse_secret(text, "stdin").unwrap().expose(), secret.expose());
        }
        let zero = "0".repeat(64);
        for text in ["", "npub1", "sesame-marker", &nsec[..40], zero.as_str()] {
            let error = parse_secret(text, "stdin").unwrap_err();
            assert!(text.is_empty() || !format!("{error} {error:?}").contains(text));
        }
    }
}
