//! Blobs as files: `blobs/<hash>`, or `blobs/<hash>.enc` where they are encrypted at rest.
//!
//! All of them stand in one folder, although there may be a million: file systems index their folders, and place files
//! of one folder near each other. And one sync makes the names of many safe, where folders need one each.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};

use crate::env::Env;
use crate::store::at_rest::{SALT_LEN, StoreKey};
use crate::store::checksum::Checksum;
use crate::store::{Disk, StoreError};
use crate::types::BlobHash;

/// The folder of the blobs' files, in the store's folder.
pub(super) const BLOBS: &str = "blobs";
const ENCRYPTED: &str = ".enc";
const TEMPORARY: &str = ".tmp";

/// How a blob lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Plain,
    Encrypted,
}

pub(super) struct Files {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    env: Env,
    temporary: AtomicU64,
}

impl Files {
    /// Makes the key where it is missing, and finds every blob's file. The names in the store's folder itself are
    /// left for the caller to sync.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        env: Env,
    ) -> Result<(Self, BTreeMap<BlobHash, Kept>), StoreError> {
        let key = StoreKey::new(secret(&*disk, Path::new("key"), &env)?);
        disk.create_dir(Path::new(BLOBS)).map_err(StoreError::disk(Path::new(BLOBS)))?;
        let files = Self { disk, key, env, temporary: AtomicU64::new(0) };
        let found = files.find()?;
        Ok((files, found))
    }

    /// Writes a blob's file; when this returns, its contents are safe. Its name is with the next
    /// [`Files::sync_names`], which many files share.
    pub(super) fn write(&self, hash: &BlobHash, blob: &[u8], kept: Kept) -> Result<(), StoreError> {
        let path = path(hash, kept);
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = Path::new(BLOBS).join(format!("{number}{TEMPORARY}"));
        let encrypted = (kept == Kept::Encrypted).then(|| self.key.encrypt(blob, self.env.random_bytes()));
        let file = encrypted.as_deref().unwrap_or(blob);
        let written = self.put_in_place(&temporary, &path, file);
        written.map_err(|source| {
            // If this fails too, the next start cleans up.
            let _ = self.disk.remove(&temporary);
            StoreError::Disk { path, source }
        })
    }

    /// The whole blob, or `None` if it is not what its name says. What has the checksum is not hashed again.
    pub(super) fn read(
        &self,
        hash: &BlobHash,
        kept: Kept,
        checksum: Option<Checksum>,
    ) -> Result<Option<Bytes>, StoreError> {
        let path = path(hash, kept);
        let mut file = match self.disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(StoreError::disk(&path))?,
        };
        if kept == Kept::Encrypted {
            let Some(salt) = file.first_chunk().copied() else { return Ok(None) };
            file.advance(SALT_LEN);
            let mut blob = Vec::from(file);
            self.key.apply(&salt, 0, &mut blob);
            file = blob.into();
        }
        let has_checksum = checksum.is_some_and(|checksum| checksum == Checksum::of(&file));
        Ok((has_checksum || BlobHash::of(&file) == *hash).then_some(file))
    }

    /// `len` bytes from `offset` of the blob, or `None` if the file is too short. They are not verified.
    pub(super) fn read_range(
        &self,
        hash: &BlobHash,
        kept: Kept,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = path(hash, kept);
        let read = |offset, len| match self.disk.read_range(&path, offset, len) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            bytes => bytes.map_err(StoreError::disk(&path)),
        };
        let bytes = match kept {
            Kept::Plain => read(offset, len)?,
            Kept::Encrypted => {
                let Ok(salt) = read(0, SALT_LEN)?.try_into() else { return Ok(None) };
                let mut bytes = read(offset.saturating_add(SALT_LEN as u64), len)?;
                self.key.apply(&salt, offset, &mut bytes);
                bytes
            }
        };
        Ok((bytes.len() == len).then_some(bytes))
    }

    /// Removes a blob's file, if it is there. It need not be safe: a file without a claim goes at the next start.
    pub(super) fn remove(&self, hash: &BlobHash, kept: Kept) -> Result<(), StoreError> {
        let path = path(hash, kept);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::disk(&path)(error)),
            _ => Ok(()),
        }
    }

    fn put_in_place(&self, temporary: &Path, path: &Path, file: &[u8]) -> io::Result<()> {
        self.disk.write(temporary, file)?;
        self.disk.sync_file(temporary)?;
        self.disk.rename(temporary, path)
    }

    /// Returns when the names of all files that were written before are safe.
    pub(super) fn sync_names(disk: &dyn Disk) -> Result<(), StoreError> {
        disk.sync_dir(Path::new(BLOBS)).map_err(StoreError::disk(Path::new(BLOBS)))
    }

    fn find(&self) -> Result<BTreeMap<BlobHash, Kept>, StoreError> {
        let blobs = Path::new(BLOBS);
        let mut found = BTreeMap::new();
        for name in self.disk.list(blobs).map_err(StoreError::disk(blobs))? {
            if name.ends_with(TEMPORARY) {
                // Left by a crash in the middle of a put.
                let _ = self.disk.remove(&blobs.join(name));
                continue;
            }
            let (text, kept) = name
                .strip_suffix(ENCRYPTED)
                .map_or((name.as_str(), Kept::Plain), |text| (text, Kept::Encrypted));
            // Names that are no hash are not ours to touch.
            let Ok(hash) = BlobHash::parse(text) else { continue };
            let other = found.insert(hash, kept);
            if other.is_some() {
                // Its owner asked for encryption while it was here in plain: a crash left both.
                found.insert(hash, Kept::Encrypted);
                self.remove(&hash, Kept::Plain)?;
            }
        }
        Ok(found)
    }
}

fn path(hash: &BlobHash, kept: Kept) -> PathBuf {
    Path::new(BLOBS).join(match kept {
        Kept::Plain => hash.to_string(),
        Kept::Encrypted => format!("{hash}{ENCRYPTED}"),
    })
}

/// 32 secret bytes that are kept in a file of their own (hexadecimal, one line), made at first use. The name of a new
/// file is left for the caller to sync.
///
/// # Errors
/// [`StoreError::Damaged`] if the file holds something else: it is never replaced, because what hangs on it is lost then.
pub(super) fn secret(disk: &dyn Disk, path: &Path, env: &Env) -> Result<[u8; 32], StoreError> {
    let mut bytes = [0; 32];
    match disk.read(path) {
        Ok(text) => {
            let damaged = |_| StoreError::Damaged { path: path.to_owned() };
            hex::decode_to_slice(text.trim_ascii(), &mut bytes).map_err(damaged)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bytes = env.random_bytes();
            let temporary = path.with_extension("new");
            let make = || {
                disk.write(&temporary, format!("{}\n", hex::encode(bytes)).as_bytes())?;
                disk.sync_file(&temporary)?;
                disk.rename(&temporary, path)
            };
            make().map_err(StoreError::disk(path))?;
        }
        Err(error) => return Err(StoreError::disk(path)(error)),
    }
    Ok(bytes)
}
