//! What this home remembers of the vault's health between two runs: shards that are to be healed, providers that are
//! away, and how the last round of `watch` went. Hints and appointments only: without them everything is found again.
//! Sealed, because it says whom the vault deals with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypt::{Aad, Layer, LayerKey, SealedKind, open_salted, seal_salted};
use crate::types::limits::{BLEMISH_COUNT_MAX, CARE_LEN_MAX, KNOWN_PROVIDER_COUNT_MAX};
use crate::types::{DeviceId, PackId, ProviderId, ShardIndex, Timestamp, VaultId};
use crate::vault::{Vault, VaultError, files};

pub(super) const FILE_NAME: &str = "care";
const VERSION: u8 = 1;
/// Lines of trouble that are kept of a round.
const TROUBLE_COUNT_MAX: usize = 20;

/// A shard that a provider promised, and that was found missing or wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blemish {
    /// The pack. One of the manifest's own is named by the beginning of its first shard's hash.
    pub pack: PackId,
    /// Which of its shards.
    pub shard: ShardIndex,
    /// Who promised it.
    pub provider: ProviderId,
    /// True if what came was not the shard; false if nothing came.
    pub is_corrupt: bool,
}

/// What is remembered between two runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Care {
    /// Shards that are to be healed.
    pub blemishes: BTreeSet<Blemish>,
    /// Providers that keep something for this vault and do not answer, and since when that is known.
    pub absent_since: BTreeMap<ProviderId, Timestamp>,
    /// How the last round of `watch` went.
    pub round: Option<Round>,
    /// What `watch` has moved on one day.
    pub moved: Moved,
}

/// How a round of `watch` went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Round {
    /// When it ended.
    pub at: Timestamp,
    /// When the next one is due; zero if nobody waits for it.
    pub next: Timestamp,
    /// Packs that were looked at, those of the manifest included.
    pub packs: u64,
    /// Packs of which every shard is where it should be.
    pub healthy: u64,
    /// Packs that can be restored and are not healthy.
    pub degraded: u64,
    /// Packs that cannot be restored from what was found.
    pub lost: u64,
    /// When the first promise lapses.
    pub first_lapse: Option<Timestamp>,
    /// Promises that were renewed.
    pub renewed: u64,
    /// Samples that were audited, and how many were good.
    pub audited: (u64, u64),
    /// Shards that were stored anew.
    pub shards_written: u64,
    /// What went wrong, a line each.
    pub troubles: Vec<String>,
}

/// Bytes that were moved on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    /// The day, counted from 1970-01-01 (UTC).
    pub day: u64,
    /// Bytes.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct CareFile {
    version: u8,
    #[serde(flatten)]
    care: Care,
}

impl Care {
    /// Cuts what could grow without end: what is over is found again.
    fn bound(&mut self) {
        while self.blemishes.len() > BLEMISH_COUNT_MAX {
            self.blemishes.pop_last();
        }
        while self.absent_since.len() > KNOWN_PROVIDER_COUNT_MAX {
            self.absent_since.pop_last();
        }
        if let Some(round) = &mut self.round {
            round.troubles.truncate(TROUBLE_COUNT_MAX);
        }
    }
}

impl Vault {
    /// What is remembered of the vault's health. Nothing if the file is damaged: then everything is found again.
    pub fn care(&self) -> Result<Care, VaultError> {
        read(&self.care_path(), self.access.vault_id(), &self.access.actor().local_key())
    }

    /// Changes what is remembered, and writes it if it is changed. Gives back what `change` does.
    pub fn update_care<T>(&self, change: impl FnOnce(&mut Care) -> T) -> Result<T, VaultError> {
        let before = self.care()?;
        let mut care = before.clone();
        let outcome = change(&mut care);
        care.bound();
        if care != before {
            let plain = encode(&care).map_err(|error| VaultError::damaged_file(&self.care_path(), error))?;
            let aad = aad(self.access.vault_id());
            let sealed = seal_salted(&plain, &aad, &self.access.actor().local_key(), &mut self.env.rng());
            files::write_atomically(&self.care_path(), &sealed)?;
        }
        Ok(outcome)
    }

    /// Remembers shards that are to be healed.
    pub fn note_blemishes(&self, blemishes: &[Blemish]) -> Result<(), VaultError> {
        if blemishes.is_empty() {
            return Ok(());
        }
        self.update_care(|care| care.blemishes.extend(blemishes))
    }

    /// Shards that are to be healed.
    pub fn blemishes(&self) -> Result<BTreeSet<Blemish>, VaultError> {
        Ok(self.care()?.blemishes)
    }

    /// Forgets those for which `is_healed` holds.
    pub fn clear_blemishes(&self, is_healed: impl Fn(&Blemish) -> bool) -> Result<(), VaultError> {
        self.update_care(|care| care.blemishes.retain(|blemish| !is_healed(blemish)))
    }

    fn care_path(&self) -> PathBuf {
        self.home.file(FILE_NAME)
    }
}

/// Reads what is remembered in the file `path`.
pub(super) fn read(path: &Path, vault: VaultId, local_key: &LayerKey) -> Result<Care, VaultError> {
    let Some(sealed) = files::read_small(path, 2 * CARE_LEN_MAX)? else { return Ok(Care::default()) };
    let plain = open_salted(&sealed, &aad(vault), local_key);
    Ok(plain.ok().and_then(|plain| parse(&plain)).unwrap_or_default())
}

/// What is remembered, before sealing.
pub(crate) fn encode(care: &Care) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let file = CareFile { version: VERSION, care: care.clone() };
    Ok(Zeroizing::new(serde_json::to_vec(&file)?))
}

/// Reads what was opened; `None` if it is damaged, or of another version.
pub(crate) fn parse(plain: &[u8]) -> Option<Care> {
    let file: CareFile = serde_json::from_slice(plain).ok()?;
    (file.version == VERSION).then_some(file.care)
}

fn aad(vault: VaultId) -> Aad<'static> {
    let device = DeviceId::new([0; DeviceId::LEN]);
    Aad { kind: SealedKind::Local, vault, device, layer: Layer::None, extra: FILE_NAME.as_bytes() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::env::Env;
    use crate::vault::Home;

    fn blemish(number: u32) -> Blemish {
        let mut id = [0; PackId::LEN];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let (pack, provider) = (PackId::new(id), ProviderId::new([7; 32]));
        Blemish { pack, shard: ShardIndex(1), provider, is_corrupt: number.is_multiple_of(2) }
    }

    #[test]
    fn blemishes_are_remembered_sealed_until_they_are_healed() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Home::init_fresh(folder.path(), &Env::system()).unwrap();
        assert!(vault.blemishes().unwrap().is_empty());
        vault.note_blemishes(&[blemish(1), blemish(2), blemish(1)]).unwrap();
        vault.note_blemishes(&[blemish(3)]).unwrap();
        drop(vault);

        let sealed = fs::read(folder.path().join(FILE_NAME)).unwrap();
        let provider = hex::encode([7; 32]);
        assert!(!sealed.windows(provider.len()).any(|window| window == provider.as_bytes()));
        let vault = Home::open(folder.path(), &Env::system()).unwrap();
        assert_eq!(vault.blemishes().unwrap(), BTreeSet::from([blemish(1), blemish(2), blemish(3)]));
        vault.clear_blemishes(|healed| healed.is_corrupt).unwrap();
        assert_eq!(vault.blemishes().unwrap(), BTreeSet::from([blemish(1), blemish(3)]));
    }

    #[test]
    fn damaged_or_newer_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Home::init_fresh(folder.path(), &Env::system()).unwrap();
        vault.note_blemishes(&[blemish(1)]).unwrap();
        let path = folder.path().join(FILE_NAME);
        let mut sealed = fs::read(&path).unwrap();
        sealed[40] ^= 1;
        fs::write(&path, sealed).unwrap();
        assert_eq!(vault.care().unwrap(), Care::default());
        assert!(parse(br#"{"version":2}"#).is_none());
        assert!(parse(b"{").is_none());
        assert_eq!(parse(br#"{"version":1}"#), Some(Care::default()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let count = u32::try_from(BLEMISH_COUNT_MAX).unwrap() + 10;
        let mut care = Care { blemishes: (0..count).map(blemish).collect(), ..Care::default() };
        care.bound();
        assert_eq!(care.blemishes.len(), BLEMISH_COUNT_MAX);
        assert!(encode(&care).unwrap().len() as u64 <= CARE_LEN_MAX);
    }
}
