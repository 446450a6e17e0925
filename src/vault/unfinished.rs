//! The journal of what is sent: which blob to which provider, written down before it leaves. What a run that was cut off
//! has sent and not recorded is found here by the next one, and deleted at the providers.
//!
//! A file of frames, each sealed by itself, that only grows while packs leave: whether a pack was recorded in the end
//! is not written here, the manifest says it. Nothing is synced. What the process has written survives its death; after
//! a power failure the last frames may be lost, and the blobs that they named are found by the search for orphans in
//! `prune`, which asks providers for their lists and takes its time.
//!
//! The first frame names the device and the file's own inode. In a home that is a copy the journal counts for nothing:
//! what it calls unfinished may have been finished by the home that it was copied from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypt::{Aad, Layer, LayerKey, SealedKind, open_salted, seal_salted};
use crate::env::Env;
use crate::format::FormatError;
use crate::format::codec::{Encoding, Reader, Writer, decode, encode};
use crate::types::limits::{UNFINISHED_AGE_MAX, UNFINISHED_COUNT_MAX, UNFINISHED_LEN_MAX};
use crate::types::{BlobHash, DeviceId, PackId, ProviderId, ShardIndex, Timestamp, VaultId};
use crate::vault::{Vault, VaultError, files};

const FILE_NAME: &str = "unfinished";
const VERSION: u8 = 1;
/// A journal of this length is written anew, without what is done by now.
const REWRITE_LEN: u64 = 1024 * 1024;

/// A blob that was about to be sent to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// What it is a part of.
    pub part: Part,
    /// Who was to keep it.
    pub provider: ProviderId,
    /// Its name.
    pub hash: BlobHash,
    /// When it was sent first.
    pub at: Timestamp,
}

/// What a blob is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A shard of a pack.
    Shard {
        /// The pack.
        pack: PackId,
        /// Which shard of it.
        shard: ShardIndex,
    },
    /// A shard of a pack of the manifest, or a copy of the head that names it.
    Manifest {
        /// The head's number.
        counter: u64,
    },
}

/// What the journal begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    device: DeviceId,
    inode: u64,
}

/// The journal of a home. All methods may be called from several threads.
pub struct Unfinished {
    path: PathBuf,
    key: LayerKey,
    vault: VaultId,
    device: DeviceId,
    env: Env,
    state: Mutex<State>,
}

type Entries = BTreeMap<(ProviderId, BlobHash), (Part, Timestamp)>;

struct State {
    /// `None` if the disk refuses it: the search for orphans is there for that.
    file: Option<File>,
    len: u64,
    /// What was sent and not recorded, by this run and by those before it.
    entries: Entries,
}

impl Vault {
    /// The journal of what is sent.
    pub fn unfinished(&self) -> Arc<Unfinished> {
        self.unfinished.get_or_init(|| Arc::new(Unfinished::open(self))).clone()
    }
}

impl Unfinished {
    /// Never fails: a journal that cannot be read is as good as none.
    fn open(vault: &Vault) -> Self {
        let state = Mutex::new(State { file: None, len: 0, entries: Entries::new() });
        let (path, key) = (vault.home.file(FILE_NAME), vault.access.actor().local_key());
        let (device, env) = (vault.device(), vault.env.clone());
        let journal = Self { path, key, vault: vault.access.vault_id(), device, env, state };
        let mut state = journal.state();
        let now = journal.env.now();
        state.entries = journal.read().unwrap_or_default();
        state.entries.retain(|_, (_, at)| now.since(*at) <= UNFINISHED_AGE_MAX);
        if let Err(error) = journal.write(&mut state) {
            tracing::warn!(%error, "what is sent cannot be written down");
        }
        drop(state);
        journal
    }

    /// Writes down that blobs are about to be sent.
    pub fn note(&self, part: Part, provider: ProviderId, hash: BlobHash) {
        let sent = Sent { part, provider, hash, at: self.env.now() };
        let mut state = self.state();
        if state.entries.len() < UNFINISHED_COUNT_MAX {
            state.entries.insert((provider, hash), (part, sent.at));
        }
        let frame = self.seal(&sent);
        let written = if state.len + frame.len() as u64 > REWRITE_LEN.max(2 * state.live_len()) {
            self.write(&mut state)
        } else {
            state.append(&frame).map_err(VaultError::io("append to", &self.path))
        };
        if let Err(error) = written {
            tracing::warn!(%error, "what is sent cannot be written down");
            state.file = None;
        }
    }

    /// Forgets what was recorded: everything for which `is_recorded`.
    pub fn settle(&self, mut is_recorded: impl FnMut(&Sent) -> bool) {
        self.state().entries.retain(|key, value| !is_recorded(&sent(key, value)));
    }

    /// What was sent, and neither settled nor forgotten. While nothing is on its way that is what was left behind.
    pub fn left(&self) -> Vec<Sent> {
        self.state().entries.iter().map(|(key, value)| sent(key, value)).collect()
    }

    /// Forgets these blobs at `provider`.
    pub fn forget(&self, provider: ProviderId, hashes: &[BlobHash]) {
        let mut state = self.state();
        for hash in hashes {
            state.entries.remove(&(provider, *hash));
        }
    }

    /// Writes the journal anew, without what is done by now.
    pub fn tidy(&self) -> Result<(), VaultError> {
        self.write(&mut self.state())
    }

    /// What the file holds.
    fn read(&self) -> Result<Entries, VaultError> {
        let Some(bytes) = files::read_small(&self.path, UNFINISHED_LEN_MAX)? else {
            return Ok(Entries::new());
        };
        let inode = std::fs::metadata(&self.path).map_err(VaultError::io("look at", &self.path))?.ino();
        Ok(self.parse(&bytes, inode))
    }

    /// What a file of this inode holds; nothing if it is another home's.
    pub(super) fn parse(&self, bytes: &[u8], inode: u64) -> Entries {
        let aad = self.aad();
        // What does not open was not written to its end, or a power failure has spoilt it.
        let mut plains = frames(bytes).map_while(|frame| open_salted(frame, &aad, &self.key).ok());
        let header = plains.next().and_then(|plain| decode::<Header>(&plain, WHAT).ok());
        if header != Some(Header { device: self.device, inode }) {
            return Entries::new();
        }
        let entries = plains.map_while(|plain| decode::<Sent>(&plain, WHAT).ok());
        entries
            .take(UNFINISHED_COUNT_MAX)
            .map(|sent| ((sent.provider, sent.hash), (sent.part, sent.at)))
            .collect()
    }

    /// Writes the file anew.
    fn write(&self, state: &mut State) -> Result<(), VaultError> {
        state.file = None;
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let write = || -> io::Result<(File, u64)> {
            let file = files::create_private(new.as_ref())?;
            let header = Header { device: self.device, inode: file.metadata()?.ino() };
            let mut bytes = self.seal(&header);
            for (key, value) in &state.entries {
                bytes.extend_from_slice(&self.seal(&sent(key, value)));
            }
            file.write_all_at(&bytes, 0)?;
            std::fs::rename(&new, &self.path)?;
            Ok((file, bytes.len() as u64))
        };
        let (file, len) = write().map_err(VaultError::io("write", &self.path))?;
        (state.file, state.len) = (Some(file), len);
        Ok(())
    }

    fn seal<T: Encoding>(&self, value: &T) -> Vec<u8> {
        let plain = encode(value).expect("an entry has no lists");
        let sealed = seal_salted(&plain, &self.aad(), &self.key, &mut self.env.rng());
        let len = u16::try_from(sealed.len()).expect("an entry is short");
        [&len.to_le_bytes()[..], &sealed].concat()
    }

    fn aad(&self) -> Aad<'static> {
        Aad {
            kind: SealedKind::Local,
            vault: self.vault,
            device: DeviceId::new([0; 16]),
            layer: Layer::None,
            extra: FILE_NAME.as_bytes(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_all_at(frame, self.len)?;
            self.len += frame.len() as u64;
        }
        Ok(())
    }

    /// About how long the file would be without what is done.
    fn live_len(&self) -> u64 {
        const FRAME_LEN: u64 = 150;
        (self.entries.len() + 1) as u64 * FRAME_LEN
    }
}

fn sent((provider, hash): &(ProviderId, BlobHash), (part, at): &(Part, Timestamp)) -> Sent {
    Sent { part: *part, provider: *provider, hash: *hash, at: *at }
}

/// The frames of a journal, up to where it is none any more.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut input = Reader::new(bytes, WHAT);
    std::iter::from_fn(move || {
        let len = u16::from_le_bytes(input.array().ok()?);
        input.raw(len.into()).ok()
    })
}

/// What errors call it.
pub(crate) const WHAT: &str = "the journal of what is sent";

impl Encoding for Header {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.u8(VERSION);
        out.raw(self.device.as_bytes());
        out.u64(self.inode);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        input.version(VERSION, WHAT)?;
        Ok(Self { device: DeviceId::new(input.array()?), inode: input.u64()? })
    }
}

impl Encoding for Sent {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        match self.part {
            Part::Shard { pack, shard } => {
                out.u8(1);
                out.raw(pack.as_bytes());
                out.u8(shard.0);
            }
            Part::Manifest { counter } => {
                out.u8(2);
                out.u64(counter);
            }
        }
        out.raw(self.provider.as_bytes());
        out.raw(self.hash.as_bytes());
        out.u64(self.at.0);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let part = match input.u8()? {
            1 => Part::Shard { pack: PackId::new(input.array()?), shard: ShardIndex(input.u8()?) },
            2 => Part::Manifest { counter: input.u64()? },
            found => return Err(FormatError::UnknownType { what: WHAT, found }),
        };
        let provider = ProviderId::new(input.array()?);
        Ok(Self { part, provider, hash: BlobHash::new(input.array()?), at: Timestamp(input.u64()?) })
    }
}
