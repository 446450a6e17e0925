//! Finding the snapshot that a person means.

use crate::format::Snapshot;
use crate::types::{SnapshotId, Timestamp};
use crate::vault::{ResolveError, Vault, VaultError};

/// Means the latest snapshot of all, unless one has this name.
const LATEST: &str = "latest";

impl Vault {
    /// The snapshot that `text` means: a whole id, or a name (then the latest of that name), or `latest`, or the beginning
    /// of an id.
    /// Removed ones are no longer meant.
    pub fn resolve(&self, text: &str) -> Result<Snapshot, ResolveError> {
        let found = resolve(self.snapshots()?, text);
        if let Err(ResolveError::NotFound { .. }) = &found {
            let begins = |id: &SnapshotId| !text.is_empty() && id.to_string().starts_with(text);
            if let Some(id) = self.manifest.catalog.removed()?.into_iter().find(begins) {
                return Err(ResolveError::Removed { id });
            }
        }
        found
    }

    /// The id of the snapshot that `text` means. Where contents stay sealed, a snapshot has no name: then an id or its
    /// beginning is wanted.
    pub fn resolve_id(&self, text: &str) -> Result<SnapshotId, ResolveError> {
        if self.access.vault_keys().is_some() {
            return Ok(self.resolve(text)?.id);
        }
        let removed = self.manifest.catalog.removed()?;
        let begins = |id: &SnapshotId| !text.is_empty() && id.to_string().starts_with(text);
        let mut known = self.snapshots_with_needs()?.into_iter().filter(begins).collect::<Vec<_>>();
        if let ([id], true) = (known.as_slice(), known.iter().any(|id| removed.contains(id))) {
            return Err(ResolveError::Removed { id: *id });
        }
        known.retain(|id| !removed.contains(id));
        let text = text.to_owned();
        match known.as_slice() {
            [] => Err(ResolveError::NotFound { text }),
            [id] => Ok(*id),
            _ => {
                let describe = |id| (id, String::new(), Timestamp::default());
                Err(ResolveError::Ambiguous { text, candidates: known.into_iter().map(describe).collect() })
            }
        }
    }

    /// The latest snapshot called `name`.
    pub fn latest_snapshot(&self, name: &str) -> Result<Option<Snapshot>, VaultError> {
        Ok(self.snapshots()?.into_iter().rfind(|snapshot| snapshot.name == name))
    }
}

/// Chooses among `snapshots`, which are in order of time.
fn resolve(snapshots: Vec<Snapshot>, text: &str) -> Result<Snapshot, ResolveError> {
    let whole = SnapshotId::parse(text).ok();
    let by_id = snapshots.iter().position(|snapshot| Some(snapshot.id) == whole);
    let found = by_id.or_else(|| snapshots.iter().rposition(|snapshot| snapshot.name == text));
    let newest = || snapshots.len().checked_sub(1).filter(|_| text == LATEST);
    if let Some(index) = found.or_else(newest) {
        return Ok(snapshots.into_iter().nth(index).expect("it was found there"));
    }
    let begins = |snapshot: &Snapshot| !text.is_empty() && snapshot.id.to_string().starts_with(text);
    let mut candidates: Vec<Snapshot> = snapshots.into_iter().filter(begins).collect();
    let text = text.to_owned();
    match candidates.len() {
        0 => Err(ResolveError::NotFound { text }),
        1 => Ok(candidates.remove(0)),
        _ => {
            let describe = |snapshot: Snapshot| (snapshot.id, snapshot.name, snapshot.made_at);
            Err(ResolveError::Ambiguous { text, candidates: candidates.into_iter().map(describe).collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Refs;

    fn snapshot(first: u8, name: &str, made_at: u64) -> Snapshot {
        let mut id = [0; 16];
        id[0] = first;
        Snapshot {
            id: SnapshotId::new(id),
            name: name.into(),
            made_at: Timestamp(made_at),
            host: String::new(),
            labels: Vec::new(),
            paths: Vec::new(),
            root: Refs::Direct(Vec::new()),
            files: 0,
            bytes: 0,
        }
    }

    #[test]
    fn a_name_means_its_latest_snapshot_and_a_beginning_the_only_one() {
        let all = || vec![snapshot(0xab, "home", 1), snapshot(0xac, "home", 2), snapshot(0xbc, "ab", 3)];
        let at = |text: &str| resolve(all(), text).map(|snapshot| snapshot.made_at.0);
        assert_eq!(at("home").unwrap(), 2);
        assert_eq!(at("b").unwrap(), 3);
        assert_eq!(at("ab").unwrap(), 3, "a name comes before the beginning of an id");
        assert_eq!(at(&all()[0].id.to_string()).unwrap(), 1, "a whole id comes before a name");
        assert_eq!(at("latest").unwrap(), 3);
        let named = vec![snapshot(1, "latest", 1), snapshot(2, "home", 2)];
        assert_eq!(resolve(named, "latest").unwrap().made_at.0, 1, "a name comes first");
        assert!(resolve(Vec::new(), "latest").is_err());
        assert!(matches!(at("x"), Err(ResolveError::NotFound { .. })));
        assert!(matches!(at(""), Err(ResolveError::NotFound { .. })));
        let Err(ResolveError::Ambiguous { candidates, .. }) = at("a") else { panic!("two begin with a") };
        assert_eq!(candidates.iter().map(|candidate| candidate.2.0).collect::<Vec<_>>(), [1, 2]);
    }
}
