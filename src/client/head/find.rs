//! Which heads of a vault are on the relays.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nostr::{Event, Filter, Kind, PublicKey as NostrKey, RelayUrl};

use crate::client::error::ClientError;
use crate::crypt::{PublicKey, VaultKeys};
use crate::format::Head;
use crate::format::head::HEAD_EVENT_KIND;
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

/// Asks every relay for the heads of the vault's devices. What does not open is somebody else's, or damaged: it is
/// left aside.
pub(crate) async fn on_relays(carrier: &dyn Carrier, keys: &VaultKeys) -> Result<Found, ClientError> {
    let filter = Filter::new().kind(Kind::from_u16(HEAD_EVENT_KIND)).author(author(keys));
    let answers = carrier.query(filter, QUERY_DEADLINE).await;
    let mut found = Found { relays: answers.keys().cloned().collect(), ..Found::default() };
    for (relay, events) in answers {
        for event in events {
            match open(&event, keys) {
                Ok(head) => found.add(head, &relay),
                Err(error) => tracing::warn!(%relay, %error, "an event in the head's place is no head"),
            }
        }
    }
    Ok(found)
}

/// Opens the head that `event` carries.
pub(crate) fn open(event: &Event, keys: &VaultKeys) -> Result<Head, ClientError> {
    let sealed = BASE64.decode(&event.content).unwrap_or_default();
    open_sealed(&sealed, keys)
}

/// Opens a sealed head.
pub(crate) fn open_sealed(sealed: &[u8], keys: &VaultKeys) -> Result<Head, ClientError> {
    let vault_key = PublicKey::from(keys.identity());
    Ok(Head::open(sealed, keys.vault_id(), &vault_key, &keys.head_key())?)
}

/// The event that carries a sealed head.
pub(crate) fn draft(sealed: &[u8], device: &DeviceId, keys: &VaultKeys) -> Draft {
    let name = nostr::Tag::identifier(keys.head_name(device));
    Draft { kind: HEAD_EVENT_KIND, content: BASE64.encode(sealed), tags: vec![name] }
}

/// Finds one device's head.
pub(crate) fn filter(device: &DeviceId, keys: &VaultKeys) -> Filter {
    let kind = Kind::from_u16(HEAD_EVENT_KIND);
    Filter::new().kind(kind).author(author(keys)).identifier(keys.head_name(device))
}

fn author(keys: &VaultKeys) -> NostrKey {
    keys.head_author().public_key()
}

impl Found {
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
