//! A device's chain of records, checked link by link (docs/format.md, "Chains"; invariant I5).

use crate::crypt::{Access, DeviceClass, Layer, LayerKey, PublicKey, VaultKeys};
use crate::types::{DeviceId, VaultId};

use super::FormatError;
use super::content::ContentItem;
use super::placement::{ChainEnd, Device, PlacementItem};
use super::record::{Place, Record, RecordHash};

/// What is needed to check and open the records of a vault.
#[derive(Debug)]
pub struct ChainKeys {
    /// The vault.
    pub vault: VaultId,
    /// Certifies devices.
    pub vault_key: PublicKey,
    /// Opens placement records.
    pub placement: LayerKey,
    /// Opens content records; without it they are checked and stay sealed.
    pub content: Option<LayerKey>,
}

impl ChainKeys {
    /// Those of the vault with `keys`.
    pub fn new(keys: &VaultKeys) -> Self {
        Self {
            vault: keys.vault_id(),
            vault_key: PublicKey::from(keys.identity()),
            placement: keys.placement_key(),
            content: Some(keys.content_key()),
        }
    }

    /// Those that `access` gives.
    pub fn of(access: &Access) -> Self {
        Self {
            vault: access.vault_id(),
            vault_key: access.vault_key(),
            placement: LayerKey::new(*access.placement_key().expose()),
            content: access.vault_keys().map(VaultKeys::content_key),
        }
    }
}

/// The opened items of one record.
#[derive(Debug)]
pub enum Items {
    /// Of the placement layer.
    Placement(Vec<PlacementItem>),
    /// Of the content layer.
    Content(Vec<ContentItem>),
    /// Of the content layer, which is not opened without its key.
    Sealed,
}

impl Items {
    /// Opens `record`, as far as there is a key for its layer.
    pub fn open(record: &Record, keys: &ChainKeys) -> Result<Self, FormatError> {
        match (record.layer(), &keys.content) {
            (Layer::Content, Some(content)) => Ok(Self::Content(record.open(keys.vault, content)?)),
            (Layer::Content, None) => Ok(Self::Sealed),
            (Layer::Placement | Layer::None, _) => {
                Ok(Self::Placement(record.open(keys.vault, &keys.placement)?))
            }
        }
    }
}

/// Why a record cannot follow in a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// It is no record, does not open, or its signature is not valid.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It belongs to another chain.
    #[error("it is of device {}", found.short())]
    WrongDevice {
        /// The device that it names.
        found: DeviceId,
    },
    /// It stands at another place.
    #[error("it says that it is record {found}")]
    WrongSequence {
        /// The place that it names.
        found: u64,
    },
    /// It names another predecessor.
    #[error("it does not follow the record before it")]
    BrokenLink,
    /// A chain begins with one item that describes its device, and no other record holds such an item.
    #[error("a chain begins with its device, and only with it")]
    NotGenesis,
    /// A device that may only verify wrote more than promises.
    #[error("a verify device may record promises only")]
    NotAllowed,
    /// The bytes of the chain end within the record.
    #[error("the chain ends within it")]
    CutOff,
}

/// A chain as far as it was checked.
#[derive(Debug, Clone)]
pub struct Chain {
    id: DeviceId,
    device: Option<Device>,
    count: u64,
    last_hash: RecordHash,
}

impl Chain {
    /// The chain of device `id`, before its first record.
    pub fn new(id: DeviceId) -> Self {
        Self { id, device: None, count: 0, last_hash: RecordHash::NONE }
    }

    /// Whose chain it is.
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// The device, once the first record was read.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// How many records it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Hash of the last record.
    pub fn last_hash(&self) -> RecordHash {
        self.last_hash
    }

    /// Its last record; `None` if it has none.
    pub fn end(&self) -> Option<ChainEnd> {
        let sequence = self.count.checked_sub(1)?;
        Some(ChainEnd { device: self.id, sequence, hash: self.last_hash })
    }

    /// Where the next record goes.
    pub fn next(&self) -> Place {
        Place { device: self.id, sequence: self.count, previous: self.last_hash }
    }

    /// Goes on behind record `count - 1`, whose hash is `last_hash`, without reading what is between.
    ///
    /// Only after the first record was accepted, and only to where the chain was checked before.
    pub fn skip_to(&mut self, count: u64, last_hash: RecordHash) {
        assert!(self.device.is_some() && count >= self.count, "a chain is skipped forward from its device");
        self.count = count;
        self.last_hash = last_hash;
    }

    /// Checks that `record` is the next one, and opens it. The chain goes on behind it then; else it is as before.
    pub fn accept(&mut self, record: &Record, keys: &ChainKeys) -> Result<Items, RecordFault> {
        let place = record.place();
        if place.device != self.id {
            return Err(RecordFault::WrongDevice { found: place.device });
        }
        if place.sequence != self.count {
            return Err(RecordFault::WrongSequence { found: place.sequence });
        }
        if place.previous != self.last_hash {
            return Err(RecordFault::BrokenLink);
        }
        let items = match &self.device {
            None => self.accept_genesis(record, keys)?,
            Some(device) => {
                record.verify(&device.key)?;
                let items = Items::open(record, keys)?;
                check_allowed(&items, device.class)?;
                items
            }
        };
        self.count += 1;
        self.last_hash = record.hash();
        Ok(items)
    }

    fn accept_genesis(&mut self, record: &Record, keys: &ChainKeys) -> Result<Items, RecordFault> {
        let items = Items::open(record, keys)?;
        let Items::Placement(placement) = &items else { return Err(RecordFault::NotGenesis) };
        let [PlacementItem::Device(device)] = placement.as_slice() else {
            return Err(RecordFault::NotGenesis);
        };
        if device.id != self.id {
            return Err(RecordFault::WrongDevice { found: device.id });
        }
        device.verify(keys.vault, &keys.vault_key)?;
        record.verify(&device.key)?;
        self.device = Some(device.clone());
        Ok(items)
    }
}

fn check_allowed(items: &Items, class: DeviceClass) -> Result<(), RecordFault> {
    let Items::Placement(placement) = items else {
        return if class == DeviceClass::Full { Ok(()) } else { Err(RecordFault::NotAllowed) };
    };
    for item in placement {
        match item {
            PlacementItem::Device(_) => return Err(RecordFault::NotGenesis),
            PlacementItem::Promises(_) => {}
            _ if class == DeviceClass::Verify => return Err(RecordFault::NotAllowed),
            _ => {}
        }
    }
    Ok(())
}
