//! The key of the plain protocol's commands.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use nostr::{Keys, SecretKey};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::crypt::VaultSecret;
use crate::env::Env;
use crate::vault::{parse_secret, secret_text};

/// Name of the key's file in the home.
const FILE_NAME: &str = "plain-key";

/// The key in `home`; made there if there is none.
pub(super) fn open_or_make(home: &Path, env: &Env) -> Result<Keys, CliError> {
    let path = home.join(FILE_NAME);
    match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => keys(&parse_secret(&text, &path.display().to_string())?),
        Err(error) if error.kind() == ErrorKind::NotFound => make(&path, home, env),
        Err(error) => Err(unusable(&path, &error)),
    }
}

/// Takes the key along when the home in `from` gives its place to the one in `to`.
pub fn carry_over(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::rename(from.join(FILE_NAME), to.join(FILE_NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make(path: &Path, home: &Path, env: &Env) -> Result<Keys, CliError> {
    let secret = VaultSecret::generate(&mut env.rng());
    let text = secret_text(&secret)?;
    let written = make_private_folder(home)
        .and_then(|()| NamedTempFile::new_in(home))
        .and_then(|mut file| {
            file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map(|()| file)
        })
        .and_then(|file| file.persist_noclobber(path).map_err(|error| error.error));
    match written {
        Ok(_) => keys(&secret),
        // Another run was faster; its key is the one.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_or_make(home, env),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn keys(secret: &VaultSecret) -> Result<Keys, CliError> {
    let secret = SecretKey::from_slice(secret.expose())
        .map_err(|_| CliError::new(Exit::Failure, "the key cannot be used", "run it again"))?;
    Ok(Keys::new(secret))
}

fn unusable(path: &Path, error: &std::io::Error) -> CliError {
    let happened = format!("cannot use the key file {}: {error}", path.display());
    CliError::new(Exit::Home, happened, "name a folder that you may write to with --home DIR")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_plain_key_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let keys = open_or_make(&home, &Env::system()).unwrap();
        assert_eq!(open_or_make(&home, &Env::system()).unwrap(), keys);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home), mode(&home.join(FILE_NAME))), (0o700, 0o600));
    }

    #[test]
    fn a_plain_key_that_is_no_key_is_an_error_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), "nonsense").unwrap();
        assert!(open_or_make(folder.path(), &Env::system()).is_err());
        assert_eq!(fs::read_to_string(folder.path().join(FILE_NAME)).unwrap(), "nonsense");
    }
}
