//! Which heads of a vault are on the relays.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nostr::{Event, Filter, Kind, PublicKey as NostrKey, RelayUrl};

use crate::client::error::ClientError;
use crate::crypt::{Access, ActorKeys, CryptError, DeviceClass, PublicKey};
use crate::format::head::HEAD_EVENT_KIND;
use crate::format::{Grant, Head};
use crate::transport::Carrier;
use crate::types::DeviceId;
use crate::wire::Draft;

/// How long relays may take to say which heads they have.
const QUERY_DEADLINE: Duration = Duration::from_secs(3);

/// The heads of one device, as the relays have them.
#[derive(Debug)]
pub(crate) struct DeviceHeads {
    /// The one with the highest counter.
    pub(crate) newest: Head,
    /// Relays that offer it.
    pub(crate) relays: Vec<RelayUrl>,
    /// Relays that offer an older one, and its counter.
    pub(crate) behind: Vec<(RelayUrl, u64)>,
}

/// What a look at the relays has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) devices: BTreeMap<DeviceId, DeviceHeads>,
    /// Relays that answered, with or without a head.
    pub(crate) relays: Vec<RelayUrl>,
}

/// Who signs the events with the heads of which devices.
#[derive(Debug)]
pub(crate) struct Authors {
    full: NostrKey,
    /// Each verify device has an author of its own: none can take the place of another's head, or of the vault's.
    verify: BTreeMap<NostrKey, DeviceId>,
}

impl Authors {
    /// The one of the full devices.
    pub(crate) fn full(access: &Access) -> Result<Self, ClientError> {
        Ok(Self { full: nostr_key(access.full_author())?, verify: BTreeMap::new() })
    }

    /// This verify device's own as well.
    pub(crate) fn and_own(mut self, access: &Access) -> Self {
        if let Some((device, _)) = access.verify_device() {
            self.verify.insert(access.actor().head_author().public_key(), device);
        }
        self
    }

    /// The one of a verify device. A key that is none signs nothing.
    pub(crate) fn add(&mut self, grant: &Grant) {
        if let Ok(author) = nostr_key(grant.author) {
            self.verify.insert(author, grant.device);
        }
    }

    /// True if the author of this verify device is among them.
    pub(crate) fn has(&self, grant: &Grant) -> bool {
        self.verify.values().any(|device| *device == grant.device)
    }

    /// True if there is none of a verify device.
    pub(crate) fn is_full_only(&self) -> bool {
        self.verify.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = NostrKey> + '_ {
        std::iter::once(self.full).chain(self.verify.keys().copied())
    }

    /// True if heads of the device that `head` is of are signed by `author`.
    fn is_by(&self, author: &NostrKey, head: &Head) -> bool {
        match head.class {
            DeviceClass::Full => *author == self.full,
            DeviceClass::Verify => self.verify.get(author) == Some(&head.device),
        }
    }
}

fn nostr_key(key: PublicKey) -> Result<NostrKey, ClientError> {
    let invalid = CryptError::InvalidKey { what: "the author of a head" };
    NostrKey::from_slice(&key.0).map_err(|_| invalid.into())
}

/// Asks every relay for the heads that `authors` sign. What does not open is somebody else's, or damaged: it is left
/// aside.
pub(crate) async fn on_relays(
    carrier: &dyn Carrier,
    authors: &Authors,
    access: &Access,
) -> Result<Found, ClientError> {
    let filter = Filter::new().kind(Kind::from_u16(HEAD_EVENT_KIND)).authors(authors.all());
    let answers = carrier.query(filter, QUERY_DEADLINE).await;
    let mut found = Found { relays: answers.keys().cloned().collect(), ..Found::default() };
    for (relay, events) in answers {
        for event in events {
            match open(&event, access) {
                Ok(head) if authors.is_by(&event.pubkey, &head) => found.add(head, &relay),
                Ok(_) => tracing::warn!(%relay, "a head has another's author"),
                Err(error) => tracing::warn!(%relay, %error, "an event in the head's place is no head"),
            }
        }
    }
    Ok(found)
}

/// Opens the head that `event` carries.
pub(crate) fn open(event: &Event, access: &Access) -> Result<Head, ClientError> {
    let sealed = BASE64.decode(&event.content).unwrap_or_default();
    open_sealed(&sealed, access)
}

/// Opens a sealed head.
pub(crate) fn open_sealed(sealed: &[u8], access: &Access) -> Result<Head, ClientError> {
    Ok(Head::open(sealed, access.vault_id(), &access.vault_key(), &access.head_key())?)
}

/// The event that carries a sealed head of `device`, which `actor` acts for.
pub(crate) fn draft(sealed: &[u8], device: &DeviceId, actor: &ActorKeys) -> Draft {
    let name = nostr::Tag::identifier(actor.head_name(device));
    Draft { kind: HEAD_EVENT_KIND, content: BASE64.encode(sealed), tags: vec![name] }
}

/// Finds the head of `device`, which `actor` acts for.
pub(crate) fn filter(device: &DeviceId, actor: &ActorKeys) -> Filter {
    let kind = Kind::from_u16(HEAD_EVENT_KIND);
    Filter::new().kind(kind).author(actor.head_author().public_key()).identifier(actor.head_name(device))
}

impl Found {
    /// Takes out what was found of verify devices.
    pub(crate) fn take_verifiers(&mut self) -> BTreeMap<DeviceId, DeviceHeads> {
        let devices = std::mem::take(&mut self.devices);
        let is_verify = |heads: &DeviceHeads| heads.newest.class == DeviceClass::Verify;
        let (verify, full) = devices.into_iter().partition(|(_, heads)| is_verify(heads));
        self.devices = full;
        verify
    }

    fn add(&mut self, head: Head, relay: &RelayUrl) {
        let relay = relay.clone();
        match self.devices.get_mut(&head.device) {
            None => {
                let device = head.device;
                let heads = DeviceHeads { newest: head, relays: vec![relay], behind: Vec::new() };
                self.devices.insert(device, heads);
            }
            Some(heads) => heads.add(head, relay),
        }
    }
}

impl DeviceHeads {
    fn add(&mut self, head: Head, relay: RelayUrl) {
        let known = self.newest.counter;
        if head.counter < known {
            self.behind.push((relay, head.counter));
        } else {
            if head.counter > known {
                self.behind.extend(self.relays.drain(..).map(|relay| (relay, known)));
                self.newest = head;
            }
            self.relays.push(relay);
        }
    }
}
