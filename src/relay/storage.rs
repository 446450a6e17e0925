//! Which events are kept: the newest of each replaceable or addressable event, and ordinary ones (NIP-01).
//!
//! Full means full: then new addresses are refused, in words, rather than the heads of others forgotten. Only
//! ordinary events make room, the oldest first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nostr::filter::MatchEventOptions;
use nostr::{Event, Filter, JsonUtil};
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::options::RelayError;
use crate::types::limits::{
    RELAY_ANSWER_COUNT_MAX, STORED_EVENT_COUNT_MAX, STORED_EVENT_LEN_MAX, STORED_EVENTS_LEN_MAX,
};

/// What became of an event that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is on disk.
    New,
    /// It was there before.
    Again,
    /// A newer one of its address is there.
    Older,
    /// There is no room.
    Full,
    /// It is larger than what is kept.
    TooLarge,
    /// The disk failed.
    Failed,
}

/// The events that are kept.
pub(super) struct Storage {
    disk: Option<Disk>,
    /// Held while an event is written, so that disk and index change in the same order.
    writing: Mutex<()>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    entries: BTreeMap<String, Entry>,
    len: usize,
}

struct Entry {
    /// Without its content, which is only in `text`.
    event: Event,
    text: Bytes,
}

impl Storage {
    /// Opens the folder, if one is named, and finds what is kept there.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, RelayError> {
        let mut index = Index::default();
        let disk = folder.map(Disk::open).transpose()?;
        if let Some(disk) = &disk {
            for (name, text) in disk.load()? {
                // All of it is sent as text, so all of it must be one.
                let event = std::str::from_utf8(&text).ok().and_then(|text| Event::from_json(text).ok());
                let event = event.filter(|event| event.verify().is_ok());
                match event {
                    Some(event) if slot(&event).as_ref() == Some(&name) => index.insert(name, event, text),
                    _ => tracing::warn!(name, "a kept event is damaged and is left out"),
                }
            }
        }
        Ok(Self { disk, writing: Mutex::default(), index: Mutex::new(index) })
    }

    /// Keeps a verified event, whose content may be missing, and its text, which is UTF-8, if it is of a kind to be kept. Blocks
    /// until it is on disk.
    pub(super) fn keep(&self, event: Event, text: Bytes) -> Kept {
        let Some(name) = slot(&event) else { return Kept::New };
        if text.len() > STORED_EVENT_LEN_MAX {
            return Kept::TooLarge;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // `Event` is ordered newest first, then by id, which is how NIP-01 breaks ties.
        match self.index().entries.get(&name) {
            Some(entry) if entry.event.id == event.id => return Kept::Again,
            Some(entry) if entry.event < event => return Kept::Older,
            _ => {}
        }
        let Some(dropped) = self.index().make_room(&name, text.len()) else { return Kept::Full };
        if let Some(disk) = &self.disk
            && let Err(error) = disk.replace(&dropped, &name, &text)
        {
            tracing::error!(%error, "an event cannot be kept");
            return Kept::Failed;
        }
        self.index().insert(name, event, text);
        Kept::New
    }

    /// Events that match, newest first, as their texts.
    pub(super) fn query(&self, filter: &Filter) -> Vec<Bytes> {
        let index = self.index();
        let matches = |entry: &&Entry| filter.match_event(&entry.event, MatchEventOptions::new());
        let mut found: Vec<&Entry> = index.entries.values().filter(matches).collect();
        found.sort_by(|a, b| a.event.cmp(&b.event));
        found.truncate(filter.limit.unwrap_or(usize::MAX).min(RELAY_ANSWER_COUNT_MAX));
        found.into_iter().map(|entry| entry.text.clone()).collect()
    }

    /// How many events are kept.
    pub(super) fn count(&self) -> usize {
        self.index().entries.len()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn insert(&mut self, name: String, mut event: Event, text: Bytes) {
        event.content = String::new();
        self.len += text.len();
        if let Some(replaced) = self.entries.insert(name, Entry { event, text }) {
            self.len -= replaced.text.len();
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.len -= entry.text.len();
        }
    }

    /// Drops ordinary events, the oldest first, until there is room for an event of that name, and names them; `None`
    /// if there will be none.
    fn make_room(&mut self, name: &str, text_len: usize) -> Option<Vec<String>> {
        let replaced_len = self.entries.get(name).map(|entry| entry.text.len());
        let count = self.entries.len() + usize::from(replaced_len.is_none());
        let len = self.len + text_len - replaced_len.unwrap_or(0);
        // What only strangers' new events have filled still has room for newer events of what is kept already.
        let reserve = if replaced_len.is_some() { STORED_EVENTS_LEN_MAX / 4 } else { 0 };
        let mut excess_count = count.saturating_sub(STORED_EVENT_COUNT_MAX);
        let mut excess_len = len.saturating_sub(STORED_EVENTS_LEN_MAX + reserve);
        if (excess_count, excess_len) == (0, 0) {
            return Some(Vec::new());
        }
        let mut ordinary: Vec<_> =
            self.entries.iter().filter(|(name, _)| name.starts_with(ORDINARY)).collect();
        ordinary.sort_by(|a, b| b.1.event.cmp(&a.1.event));
        let mut dropped = Vec::new();
        for (name, entry) in ordinary {
            if (excess_count, excess_len) == (0, 0) {
                break;
            }
            excess_count = excess_count.saturating_sub(1);
            excess_len = excess_len.saturating_sub(entry.text.len());
            dropped.push(name.clone());
        }
        if (excess_count, excess_len) != (0, 0) {
            return None;
        }
        for name in &dropped {
            self.remove(name);
        }
        Some(dropped)
    }
}

/// How names of ordinary events start, and those of addresses.
pub(super) const ORDINARY: &str = "event-";
pub(super) const ADDRESS: &str = "address-";

/// The name under which an event is kept, the same for all that replace each other; `None` for ephemeral ones.
fn slot(event: &Event) -> Option<String> {
    if event.kind.is_ephemeral() {
        return None;
    }
    let identifier = match event.kind {
        kind if kind.is_addressable() => event.tags.identifier().unwrap_or_default(),
        kind if kind.is_replaceable() => "",
        _ => return Some(format!("{ORDINARY}{}", event.id)),
    };
    let address = format!("{}:{}:{identifier}", event.kind.as_u16(), event.pubkey);
    Some(format!("{ADDRESS}{}", hex::encode(Sha256::digest(address))))
}

#[cfg(test)]
mod tests {
    use nostr::{EventBuilder, Keys, Kind, Tag};

    use super::*;

    fn event(kind: u16, created_at: u64, identifier: &str, keys: &Keys) -> Event {
        let builder = EventBuilder::new(Kind::from(kind), format!("content {created_at}"));
        let builder = builder.tag(Tag::identifier(identifier)).custom_created_at(created_at.into());
        builder.sign_with_keys(keys).unwrap()
    }

    fn keep(storage: &Storage, event: &Event) -> Kept {
        storage.keep(event.clone(), event.as_json().into())
    }

    fn contents(storage: &Storage) -> Vec<String> {
        let texts = storage.query(&Filter::new());
        texts.iter().map(|text| Event::from_json(text).unwrap().content).collect()
    }

    #[test]
    fn newest_of_an_address_is_found_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, other) = (Keys::generate(), Keys::generate());
        let storage = Storage::open(Some(dir.path().to_owned())).unwrap();
        assert_eq!(keep(&storage, &event(30_078, 5, "d", &keys)), Kept::New);
        assert_eq!(keep(&storage, &event(30_078, 9, "d", &keys)), Kept::New);
        assert_eq!(keep(&storage, &event(30_078, 7, "d", &keys)), Kept::Older);
        assert_eq!(keep(&storage, &event(30_078, 9, "d", &keys)), Kept::Again);
        assert_eq!(keep(&storage, &event(30_078, 6, "e", &keys)), Kept::New);
        assert_eq!(keep(&storage, &event(30_078, 4, "d", &other)), Kept::New);
        assert_eq!(keep(&storage, &event(24_212, 8, "d", &keys)), Kept::New);
        let before = contents(&storage);
        assert_eq!(before, ["content 9", "content 6", "content 4"]);
        drop(storage);
        assert_eq!(contents(&Storage::open(Some(dir.path().to_owned())).unwrap()), before);
    }

    /// A folder that keeps one event, and its file.
    fn one_kept() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(Some(dir.path().to_owned())).unwrap();
        keep(&storage, &event(31_999, 5, "d", &Keys::generate()));
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        (dir, file)
    }

    #[test]
    fn damaged_file_is_left_out() {
        let (dir, file) = one_kept();
        let text = std::fs::read_to_string(&file).unwrap().replace("content 5", "content 6");
        std::fs::write(&file, text).unwrap();
        assert_eq!(Storage::open(Some(dir.path().to_owned())).unwrap().count(), 0);
    }

    #[test]
    fn what_the_relay_has_not_written_stays_as_it_is() {
        let (dir, file) = one_kept();
        let unfinished = file.with_extension("new");
        std::fs::write(&unfinished, "left by a crash").unwrap();
        let others = ["config.new", "notes", "event-of-the-year"].map(|name| dir.path().join(name));
        for other in &others {
            std::fs::write(other, "x".repeat(STORED_EVENT_LEN_MAX + 1)).unwrap();
        }
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert_eq!(Storage::open(Some(dir.path().to_owned())).unwrap().count(), 1);
        assert!(others.iter().all(|other| other.exists()) && !unfinished.exists());
    }

    #[test]
    fn file_that_is_no_text_is_left_out() {
        let (dir, file) = one_kept();
        let good = std::fs::read(&file).unwrap();
        // A field that nobody asks for.
        for (field, count) in [(&b",\"x\":\"y\"}"[..], 1), (b",\"x\":\"\xff\"}", 0)] {
            std::fs::write(&file, [&good[..good.len() - 1], field].concat()).unwrap();
            assert_eq!(Storage::open(Some(dir.path().to_owned())).unwrap().count(), count);
        }
    }

    #[test]
    fn full_storage_drops_ordinary_events_then_refuses_new_addresses_and_still_replaces() {
        let keys = Keys::generate();
        let storage = Storage::open(None).unwrap();
        for created_at in 1..=2 {
            keep(&storage, &event(1, created_at, "", &keys));
        }
        let mut identifiers = (0..).map(|number: usize| number.to_string());
        // Signing 10,000 events would take long: the index is filled as `keep` does it.
        let filler = event(30_078, 1, "filler", &keys);
        while storage.count() < STORED_EVENT_COUNT_MAX {
            storage.index().insert(identifiers.next().unwrap(), filler.clone(), Bytes::from_static(b"{}"));
        }
        let head = event(30_078, 3, "head", &keys);
        assert_eq!(keep(&storage, &head), Kept::New);
        assert_eq!(keep(&storage, &event(30_078, 3, "another", &keys)), Kept::New);
        assert_eq!(storage.count(), STORED_EVENT_COUNT_MAX);
        assert_eq!(keep(&storage, &event(30_078, 3, "one more", &keys)), Kept::Full);
        assert_eq!(keep(&storage, &event(1, 3, "", &keys)), Kept::Full);
        assert_eq!(keep(&storage, &event(30_078, 4, "head", &keys)), Kept::New);
    }

    #[test]
    fn large_event_is_not_kept() {
        let content = "x".repeat(STORED_EVENT_LEN_MAX);
        let event = EventBuilder::new(Kind::from(30_078), content).sign_with_keys(&Keys::generate()).unwrap();
        assert_eq!(keep(&Storage::open(None).unwrap(), &event), Kept::TooLarge);
    }
}
