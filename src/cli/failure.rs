//! What each failure of the library means at the surface: an exit code, and what to do.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::cli::error::{CliError, chain};
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::cli::printable::path_text;
use crate::client::{ClientError, Failure};
use crate::format::FormatError;
use crate::transport::TransportError;
use crate::vault::{ResolveError, VaultError};

/// Failures of providers that an error tells one by one.
const FAILURES_SHOWN: usize = 4;

/// What only a put can end in.
fn of_a_put(error: &ClientError) -> Option<(Exit, &'static str)> {
    Some(match error {
        ClientError::Pattern { .. } => {
            (Exit::Usage, "write it as in a .gitignore: `*.tmp`, `/build`, `!keep`")
        }
        ClientError::LabelTooLong { .. } => (Exit::Usage, "choose a shorter one"),
        ClientError::ForkedHome { .. } => (
            Exit::Home,
            "make a fresh home with `blobdvm --home DIR recover`, and put again from there: this one is a copy that \
             went its own way",
        ),
        ClientError::Banned { .. } => {
            (Exit::Usage, "leave it out, or lift the ban with `blobdvm providers trust NPUB`")
        }
        ClientError::NoEndpoints { .. } => (
            Exit::TooFewProviders,
            "leave out --carrier direct to go over relays, or name providers that were started with --direct",
        ),
        ClientError::ReadingStopped => (Exit::Failure, "run it again, with -v to see more"),
        ClientError::LetGoMeanwhile => {
            (Exit::TooFewProviders, "run it again: what is stored already is not sent twice")
        }
        _ => return None,
    })
}

/// What the vault's devices say of each other.
fn of_a_device(error: &ClientError) -> Option<(Exit, &'static str)> {
    Some(match error {
        ClientError::Revoked { .. } => {
            (Exit::Home, "ask the vault's owner for a new one: `blobdvm capability export --verify -o FILE`")
        }
        ClientError::CapabilityShared { .. } => (
            Exit::Home,
            "use one capability in one home only; to go on here, remove its folder capability-… from the home",
        ),
        ClientError::OwnDevice { .. } => (Exit::Usage, "revoke it from another home of this vault"),
        _ => return None,
    })
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        if let Some((exit, remedy)) = of_a_put(&error).or_else(|| of_a_device(&error)) {
            return Self::new(exit, chain(&error), remedy);
        }
        let (exit, remedy) = match &error {
            ClientError::TooFewProviders { .. } => (
                Exit::TooFewProviders,
                "ask for a smaller --spread, name relays where more providers are, or run `blobdvm serve`"
                    .to_owned(),
            ),
            ClientError::SpreadNotReached { .. } => (
                Exit::TooFewProviders,
                "run it again: what is stored already is not sent twice; or ask for a smaller --spread"
                    .to_owned(),
            ),
            ClientError::TooFewShards { .. } => (
                Exit::CannotRestore,
                "try again when more providers can be reached; `blobdvm providers` shows who answers"
                    .to_owned(),
            ),
            ClientError::Incomplete { source, .. } => (
                match **source {
                    ClientError::TooFewShards { .. } => Exit::CannotRestore,
                    _ => Exit::Integrity,
                },
                "everything else was restored; run it again when more providers can be reached".to_owned(),
            ),
            ClientError::Integrity { .. } | ClientError::Crypt(_) | ClientError::Codec(_) => (
                Exit::Integrity,
                "nothing was written under that name; check with `blobdvm manifest verify`".to_owned(),
            ),
            ClientError::Dangling { .. } => {
                (Exit::Integrity, "rebuild the home with `blobdvm recover`".to_owned())
            }
            ClientError::NoSuchPath { similar, .. } => (Exit::NotFound, other_paths(similar)),
            ClientError::NoHead { .. } => (
                Exit::NotFound,
                "name the relays or a provider that this vault used: --relay URL, --provider NPUB".to_owned(),
            ),
            ClientError::HeadNotReadBack { .. } => (
                Exit::NoRelay,
                "run it again: everything is stored, but a recovery would not find it yet".to_owned(),
            ),
            ClientError::RelaysSilent => {
                (Exit::NoRelay, "name the relays that this vault uses: --relay URL".to_owned())
            }
            ClientError::DeviceUnread { .. } => (
                Exit::CannotRestore,
                "nothing was deleted; try again when more providers and relays can be reached".to_owned(),
            ),
            ClientError::SeveralDevices { .. } => (
                Exit::Usage,
                "leave out --now: what is condemned is deleted by `blobdvm prune` after 7 days".to_owned(),
            ),
            ClientError::File { source, .. } => (Exit::Failure, file_remedy(source).to_owned()),
            ClientError::Destination { .. } => (Exit::Usage, "name another path".to_owned()),
            ClientError::Interrupted => {
                (Exit::Interrupted, "run it again: it goes on where it was".to_owned())
            }
            ClientError::Stream(_) => (Exit::Failure, "check who reads the output".to_owned()),
            ClientError::Format(FormatError::UnknownVersion { .. }) => {
                (Exit::Failure, "use a newer blobdvm".to_owned())
            }
            ClientError::Format(_) => (Exit::Integrity, "check with `blobdvm manifest verify`".to_owned()),
            ClientError::Exchange(_) => (Exit::Failure, "try again, or use another provider".to_owned()),
            ClientError::Vault(_) | ClientError::Transport(_) => return Self::passed_on(error),
            _ => (Exit::Failure, "try again with -v to see more".to_owned()),
        };
        Self::new(exit, with_failures(&error), remedy)
    }
}

impl CliError {
    /// An error of a lower layer that has its own words.
    fn passed_on(error: ClientError) -> Self {
        match error {
            ClientError::Vault(error) => error.into(),
            ClientError::Transport(error) => error.into(),
            other => Self::new(Exit::Failure, chain(&other), "try again with -v to see more"),
        }
    }
}

impl From<VaultError> for CliError {
    fn from(error: VaultError) -> Self {
        let exit = match &error {
            VaultError::NotAKey { .. } | VaultError::NotACapability { .. } | VaultError::ContentsSealed => {
                Exit::Usage
            }
            VaultError::NoSuchDevice { .. } => Exit::NotFound,
            error if error.is_integrity_failure() => Exit::Integrity,
            _ => Exit::Home,
        };
        Self::new(exit, chain(&error), error.remedy())
    }
}

impl From<ResolveError> for CliError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound { .. } => Self::new(
                Exit::NotFound,
                error,
                "`blobdvm ls` lists the snapshots; a name, an id or its beginning will do",
            ),
            ResolveError::Ambiguous { ref candidates, .. } => {
                let ids: Vec<_> =
                    candidates.iter().map(|(id, name, _)| format!("{} ({name})", id.short())).collect();
                let remedy = format!("give more of the id; there are {}", ids.join(", "));
                Self::new(Exit::NotFound, error, remedy)
            }
            ResolveError::Removed { .. } => {
                Self::new(Exit::NotFound, error, "`blobdvm ls` lists the snapshots that are left")
            }
            ResolveError::Vault(error) => error.into(),
        }
    }
}

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> Self {
        let remedy = "name a relay that can be reached with --relay URL, or run one with `blobdvm relay`";
        Self::new(Exit::NoRelay, chain(&error), remedy)
    }
}

/// What to do where a path is not in the snapshot.
fn other_paths(similar: &[PathBuf]) -> String {
    let shows = "`blobdvm ls SNAPSHOT` shows what is in it";
    if similar.is_empty() {
        return shows.to_owned();
    }
    let paths: Vec<_> = similar.iter().map(|path| format!("'{}'", path_text(path))).collect();
    format!("{}; {shows}", paths.join(" or "))
}

/// What to do about a file that cannot be read or written.
fn file_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space and run it again; files that are there already are not fetched twice"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "use a file or folder that you may use, such as one in your home, or change its permissions"
        }
        ErrorKind::InvalidFilename => "name a folder with a shorter path",
        // FAT ends at 4 GiB; `ulimit -f` where it is told to.
        ErrorKind::FileTooLarge => {
            "restore to another file system: this one, or a limit, takes no file as long as that"
        }
        _ => "check that the path exists and that you may use it",
    }
}

/// The error, and who failed and why, as far as that is known.
fn with_failures(error: &ClientError) -> String {
    let innermost = match error {
        ClientError::Incomplete { source, .. } => source,
        other => other,
    };
    let failures: &[Failure] = match innermost {
        ClientError::TooFewProviders { failures, .. }
        | ClientError::SpreadNotReached { failures, .. }
        | ClientError::TooFewShards { failures, .. } => failures,
        _ => &[],
    };
    if failures.is_empty() {
        return chain(error);
    }
    let who = |failure: &Failure| format!("{}: {}", npub(&failure.provider), failure.why);
    let mut told = BTreeSet::new();
    let different: Vec<_> =
        failures.iter().filter(|failure| told.insert((failure.provider, &failure.why))).collect();
    let mut said: Vec<_> = different.iter().take(FAILURES_SHOWN).map(|failure| who(failure)).collect();
    if let Some(more @ 1..) = different.len().checked_sub(FAILURES_SHOWN) {
        said.push(format!("and {more} more"));
    }
    format!("{} ({})", chain(error), said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ProviderId;

    #[test]
    fn an_error_names_a_few_of_those_who_failed_and_counts_the_others() {
        let told = |count: u8| {
            let failure = |number| Failure {
                provider: ProviderId::new([number; 32]),
                pack: None,
                why: format!("reason {number}"),
                corrupt: false,
            };
            // Each is told once, however many packs it failed.
            let failures = (1..=count).flat_map(|number| [failure(number), failure(number)]).collect();
            with_failures(&ClientError::TooFewProviders { have: 0, wanted: 3, failures })
        };
        assert!(told(4).ends_with(": reason 4)"), "{}", told(4));
        assert!(told(5).ends_with(": reason 4; and 1 more)"), "{}", told(5));
        assert!(told(200).ends_with(": reason 4; and 196 more)") && told(200).len() < 500);
    }
}
