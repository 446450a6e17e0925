//! What nothing needs or names, and since when this home knows that: it goes only after a while (invariant I12). Blobs that
//! providers keep and nothing names; packs that are recorded and no snapshot needs. Sealed, because it says what the vault
//! has stored.

use std::collections::BTreeMap;

use crate::crypt::{Aad, Layer, SealedKind, open_salted, seal_salted};
use crate::format::FormatError;
use crate::format::codec::{Reader, Writer};
use crate::types::limits::LISTED_COUNT_MAX;
use crate::types::{BlobHash, DeviceId, PackId, Timestamp};
use crate::vault::{Vault, VaultError, files};

const NAMELESS: &str = "nameless";
const UNNEEDED: &str = "unneeded";
const VERSION: u8 = 1;
/// Bytes of the longest line.
const LINE_LEN_MAX: usize = BlobHash::LEN + 8;

impl Vault {
    /// Blobs that nothing names, and when that was seen first. None if the file is damaged: then all wait anew.
    pub fn nameless_blobs(&self) -> Result<BTreeMap<BlobHash, Timestamp>, VaultError> {
        self.read_since(NAMELESS, BlobHash::new)
    }

    /// Remembers them, in the place of those before.
    pub fn set_nameless_blobs(&self, blobs: &BTreeMap<BlobHash, Timestamp>) -> Result<(), VaultError> {
        self.write_since(NAMELESS, blobs.iter().map(|(hash, since)| (&hash.as_bytes()[..], *since)))
    }

    /// Packs that no snapshot needs and nobody has condemned, and when that was seen first. None if the file is damaged:
    /// then all wait anew.
    pub fn unneeded_packs(&self) -> Result<BTreeMap<PackId, Timestamp>, VaultError> {
        self.read_since(UNNEEDED, PackId::new)
    }

    /// Remembers them, in the place of those before.
    pub fn set_unneeded_packs(&self, packs: &BTreeMap<PackId, Timestamp>) -> Result<(), VaultError> {
        self.write_since(UNNEEDED, packs.iter().map(|(pack, since)| (&pack.as_bytes()[..], *since)))
    }

    fn read_since<T: Ord, const LEN: usize>(
        &self,
        name: &'static str,
        id: impl Fn([u8; LEN]) -> T,
    ) -> Result<BTreeMap<T, Timestamp>, VaultError> {
        let len_max = (LINE_LEN_MAX * LISTED_COUNT_MAX) as u64;
        let Some(sealed) = files::read_small(&self.home.file(name), len_max)? else {
            return Ok(BTreeMap::new());
        };
        let plain = open_salted(&sealed, &self.since_aad(name), &self.access.actor().local_key());
        Ok(plain.ok().and_then(|plain| parse(&plain, id).ok()).unwrap_or_default())
    }

    fn write_since<'a>(
        &self,
        name: &'static str,
        lines: impl Iterator<Item = (&'a [u8], Timestamp)>,
    ) -> Result<(), VaultError> {
        let path = self.home.file(name);
        let mut lines = lines.peekable();
        if lines.peek().is_none() && !path.exists() {
            return Ok(());
        }
        let mut out = Writer::new();
        out.u8(VERSION);
        // What has no room is new to the next prune.
        for (id, since) in lines.take(LISTED_COUNT_MAX - 3) {
            out.raw(id);
            out.u64(since.0);
        }
        let key = self.access.actor().local_key();
        let sealed = seal_salted(out.as_bytes(), &self.since_aad(name), &key, &mut self.env.rng());
        files::write_atomically(&path, &sealed)
    }

    fn since_aad(&self, name: &'static str) -> Aad<'static> {
        Aad {
            kind: SealedKind::Local,
            vault: self.access.vault_id(),
            device: DeviceId::new([0; 16]),
            layer: Layer::None,
            extra: name.as_bytes(),
        }
    }
}

fn parse<T: Ord, const LEN: usize>(
    plain: &[u8],
    id: impl Fn([u8; LEN]) -> T,
) -> Result<BTreeMap<T, Timestamp>, FormatError> {
    let mut input = Reader::new(plain, "what nothing needs");
    input.version(VERSION, "what nothing needs")?;
    let mut lines = BTreeMap::new();
    while input.remaining() > 0 {
        lines.insert(id(input.array()?), Timestamp(input.u64()?));
    }
    Ok(lines)
}
