//! Secret keys from outside: from a file, from standard input, never from the command line.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::crypt::VaultSecret;
use crate::vault::parse_secret;

/// More than any key has; what is longer is not read to its end.
const KEY_TEXT_LEN_MAX: u64 = 4_096;

/// The secret key in the file `source`, or on standard input where that is `-`.
///
/// # Errors
/// The file cannot be read, or holds no key. The text is never repeated.
pub fn read(source: &Path) -> Result<VaultSecret, CliError> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    let (name, read) = if source == Path::new("-") {
        (
            "standard input".to_owned(),
            std::io::stdin().lock().take(KEY_TEXT_LEN_MAX).read_to_string(&mut text),
        )
    } else {
        let file = std::fs::File::open(source);
        let read = file.and_then(|file| file.take(KEY_TEXT_LEN_MAX).read_to_string(&mut text));
        (source.display().to_string(), read)
    };
    read.map_err(|error| {
        let remedy = "name a file with the key, or `-` to give it on standard input";
        CliError::new(Exit::Failure, format!("cannot read the key from {name}: {error}"), remedy)
    })?;
    Ok(parse_secret(&text, &name)?)
}

/// The key for a recovery: from `source`, or asked for on the terminal.
///
/// # Errors
/// As [`read`]; or no source was named and nobody is there to ask.
pub fn for_recovery(source: Option<&Path>) -> Result<VaultSecret, CliError> {
    if let Some(source) = source {
        return read(source);
    }
    if !std::io::stdin().is_terminal() {
        let remedy =
            "name a file that holds it with --key-file FILE, or `--key-file -` to give it on standard input";
        return Err(CliError::new(Exit::Usage, "recovery needs the vault's key", remedy));
    }
    eprint!("key (nsec1…), as `blobdvm init` showed it: ");
    let _ = std::io::stderr().flush();
    let mut line = Zeroizing::new(String::with_capacity(256));
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| CliError::new(Exit::Failure, error, "name a file with --key-file FILE"))?;
    Ok(parse_secret(&line, "what was typed")?)
}
