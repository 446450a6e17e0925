//! What check, repair, renew and status share: the table of providers, and which snapshot is meant.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::day;
use crate::client::Tally;
use crate::types::{ProviderId, SnapshotId};
use crate::vault::{ResolveError, Settings, Vault};

/// Characters of a provider's name in a table.
const NAME_WIDTH: usize = 26;
/// Characters of its label there; the beginning of its key follows.
const LABEL_WIDTH: usize = 17;

/// The snapshot that `text` means. Without the vault's key there are no names, only ids.
pub fn snapshot_meant(text: &str, vault: &Vault) -> Result<SnapshotId, CliError> {
    match vault.resolve_id(text) {
        Err(ResolveError::NotFound { .. }) => {
            // Of a put that did not come to its end only the needs may be recorded.
            let ids = vault.snapshots_with_needs()?;
            let mut begin = ids.iter().filter(|id| !text.is_empty() && id.to_string().starts_with(text));
            match (begin.next(), begin.next()) {
                (Some(id), None) if !vault.is_removed(id)? => Ok(*id),
                _ => {
                    let what = format!("no snapshot {text:?} was found");
                    let remedy = "`blobdvm ls` lists the snapshots; a capability knows only their ids";
                    Err(CliError::new(Exit::NotFound, what, remedy))
                }
            }
        }
        found => Ok(found?),
    }
}

/// What people call a provider: the label that they gave it, or the name that it announced, and the beginning of its key,
/// because anyone can take any name.
pub fn provider_name(id: &ProviderId, settings: &Settings) -> String {
    let label = settings.providers.get(id).map_or("", |known| known.label.as_str());
    let label: String = label.chars().take(LABEL_WIDTH).collect();
    format!("{label} {}", id.short()).trim_start().to_owned()
}

/// A line for each provider: what it is to keep, and what was found.
pub fn table(tally: &Tally, settings: &Settings) -> Vec<String> {
    if tally.providers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "{:<NAME_WIDTH$}  {:>7}  {:>7}  {:>7}  {:>7}  {:>8}  {:<10}  {}",
        "provider", "shards", "missing", "corrupt", "unknown", "expiring", "kept until", "last seen"
    )];
    for (id, row) in &tally.providers {
        let seen = settings.providers.get(id).map(|known| day(known.last_seen));
        lines.push(format!(
            "{:<NAME_WIDTH$}  {:>7}  {:>7}  {:>7}  {:>7}  {:>8}  {:<10}  {}",
            provider_name(id, settings),
            row.shards,
            row.found.missing,
            row.found.corrupt,
            row.found.unknown,
            row.expiring,
            row.first_lapse.map_or_else(|| "-".to_owned(), day),
            seen.unwrap_or_else(|| "-".to_owned()),
        ));
    }
    lines
}
