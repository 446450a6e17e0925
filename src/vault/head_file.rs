//! The head that this device published last, and how another one relates to what the home knows (invariants I6, I7).

use crate::format::Head;
use crate::types::limits::HEAD_LEN_CLASSES;
use crate::vault::{Vault, VaultError, files};

/// How a head relates to what the home knows of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRelation {
    /// It is the newest that is known.
    Same,
    /// A newer one is known: it must not be followed.
    Older,
    /// It is newer, or names records that the home does not have. If it is this device's own head, then the home was
    /// copied or put back, and must go on as a new device.
    Newer,
    /// It contradicts what the home has: two homes wrote the same chain.
    Forked,
}

impl Vault {
    /// The head that this device published last; `None` before the first one.
    pub fn head(&self) -> Result<Option<Head>, VaultError> {
        let path = self.home.file("head");
        let len_max = HEAD_LEN_CLASSES[HEAD_LEN_CLASSES.len() - 1] as u64;
        let Some(sealed) = files::read_small(&path, len_max)? else { return Ok(None) };
        let (vault, vault_key) = (self.access.vault_id(), self.access.vault_key());
        let head = Head::open(&sealed, vault, &vault_key, &self.access.head_key())
            .map_err(|error| VaultError::damaged_file(&path, error))?;
        // After a change of device, the file is still the old device's.
        Ok((head.device == self.device()).then_some(head))
    }

    /// Remembers, durably, the head that this device is about to publish.
    pub fn set_head(&self, head: &Head) -> Result<(), VaultError> {
        let device_keys = self.access.actor().device_keys(&head.device);
        let (vault, head_key) = (self.access.vault_id(), self.access.head_key());
        let sealed = head.seal(vault, &head_key, &device_keys, &mut self.env.rng())?;
        files::write_atomically(&self.home.file("head"), &sealed)?;
        self.note_head(head)
    }

    /// Remembers the counter of a head that was seen and followed.
    pub fn note_head(&self, head: &Head) -> Result<(), VaultError> {
        self.update_settings(|settings| {
            let seen = settings.heads_seen.entry(head.device).or_default();
            *seen = head.counter.max(*seen);
        })
    }

    /// How `head` relates to what this home knows of its device: the highest counter seen, and its records.
    pub fn compare_head(&self, head: &Head) -> Result<HeadRelation, VaultError> {
        let noted = self.settings().heads_seen.get(&head.device).copied();
        let own = self.head()?.filter(|own| own.device == head.device).map(|own| own.counter);
        let seen = noted.max(own);
        let hash = self.manifest.record_hash(head.device, head.last)?;
        Ok(match (hash, seen) {
            (Some(hash), _) if hash != head.last_hash => HeadRelation::Forked,
            // Records that are not here, under a counter that this device gave to another head.
            (None, Some(seen)) if head.counter <= seen && head.device == self.device() => {
                HeadRelation::Forked
            }
            (_, Some(seen)) if head.counter < seen => HeadRelation::Older,
            (Some(_), Some(seen)) if head.counter == seen => HeadRelation::Same,
            _ => HeadRelation::Newer,
        })
    }
}
