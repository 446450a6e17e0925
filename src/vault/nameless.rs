//! Blobs that providers keep and nothing names, and since when this home knows that: they are deleted only after a
//! while (invariant I12). Sealed, because it says what the vault has stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::crypt::{Aad, Layer, SealedKind, open_salted, seal_salted};
use crate::format::FormatError;
use crate::format::codec::{Reader, Writer};
use crate::types::limits::LISTED_COUNT_MAX;
use crate::types::{BlobHash, DeviceId, Timestamp};
use crate::vault::{Vault, VaultError, files};

const FILE_NAME: &str = "nameless";
const VERSION: u8 = 1;
/// Bytes of one blob's line.
const LINE_LEN: usize = BlobHash::LEN + 8;

impl Vault {
    /// Blobs that nothing names, and when that was seen first. None if the file is damaged: then all wait anew.
    pub fn nameless_blobs(&self) -> Result<BTreeMap<BlobHash, Timestamp>, VaultError> {
        let len_max = (LINE_LEN * LISTED_COUNT_MAX) as u64;
        let Some(sealed) = files::read_small(&self.nameless_path(), len_max)? else {
            return Ok(BTreeMap::new());
        };
        let plain = open_salted(&sealed, &self.nameless_aad(), &self.access.actor().local_key());
        Ok(plain.ok().and_then(|plain| parse(&plain).ok()).unwrap_or_default())
    }

    /// Remembers them, in the place of those before.
    pub fn set_nameless_blobs(&self, blobs: &BTreeMap<BlobHash, Timestamp>) -> Result<(), VaultError> {
        if blobs.is_empty() && !self.nameless_path().exists() {
            return Ok(());
        }
        let mut out = Writer::new();
        out.u8(VERSION);
        // What has no room is new to the next prune.
        for (hash, since) in blobs.iter().take(LISTED_COUNT_MAX - 3) {
            out.raw(hash.as_bytes());
            out.u64(since.0);
        }
        let sealed = seal_salted(
            out.as_bytes(),
            &self.nameless_aad(),
            &self.access.actor().local_key(),
            &mut self.env.rng(),
        );
        files::write_atomically(&self.nameless_path(), &sealed)
    }

    fn nameless_path(&self) -> PathBuf {
        self.home.file(FILE_NAME)
    }

    fn nameless_aad(&self) -> Aad<'static> {
        Aad {
            kind: SealedKind::Local,
            vault: self.access.vault_id(),
            device: DeviceId::new([0; 16]),
            layer: Layer::None,
            extra: FILE_NAME.as_bytes(),
        }
    }
}

fn parse(plain: &[u8]) -> Result<BTreeMap<BlobHash, Timestamp>, FormatError> {
    let mut input = Reader::new(plain, "the nameless blobs");
    let found = input.u8()?;
    if found != VERSION {
        return Err(FormatError::UnknownType { what: "a file of nameless blobs", found });
    }
    let mut blobs = BTreeMap::new();
    while input.remaining() > 0 {
        blobs.insert(BlobHash::new(input.array()?), Timestamp(input.u64()?));
    }
    Ok(blobs)
}
