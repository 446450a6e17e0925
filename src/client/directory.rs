//! Who is out there: the announcements of providers, as the relays have them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nostr::{Event, Filter, Kind, PublicKey, RelayUrl, SingleLetterTag};

use crate::transport::Carrier;
use crate::types::limits::{DIRECTORY_COUNT_MAX, RETENTION_BASE};
use crate::types::{ChunkLen, ProviderId, Timestamp};
use crate::wire::{ANNOUNCEMENT_KIND, Announcement, Extension, REQUEST_KIND, SERVICE, author_as_provider};

/// What one provider announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTerms {
    /// The provider's key.
    pub id: ProviderId,
    /// What it calls itself. Anyone can take any name.
    pub name: String,
    /// What it says about itself.
    pub about: String,
    /// Largest blob that it takes, in bytes.
    pub max_file_size: u64,
    /// Bytes of its chunks, where a request asks for no others.
    pub chunk_size: u64,
    /// The longest chunks that a request may ask for.
    pub chunk_len_max: ChunkLen,
    /// How long it promises to keep a blob.
    pub retention: Duration,
    /// What it speaks beyond the base protocol.
    pub extensions: BTreeSet<Extension>,
    /// When it announced this.
    pub announced_at: Timestamp,
    /// The relays it says that it listens on.
    pub relays: Vec<RelayUrl>,
    /// Endpoints of its direct path; none where it has none.
    pub endpoints: Vec<RelayUrl>,
}

impl ProviderTerms {
    /// Reads an announcement; `None` if it is none.
    pub fn parse(event: &Event) -> Option<Self> {
        let announcement = Announcement::parse(event).ok()?;
        Some(Self {
            id: author_as_provider(event),
            name: announcement.name,
            about: announcement.about,
            max_file_size: announcement.max_file_size,
            chunk_size: announcement.chunk_size,
            chunk_len_max: announcement.chunk_len_max,
            retention: announcement.retention,
            extensions: announcement.extensions,
            announced_at: Timestamp(event.created_at.as_secs()),
            relays: announcement.relays,
            endpoints: announcement.endpoints,
        })
    }

    /// The terms of a provider whose announcement is not known: those of the base protocol.
    pub fn base(id: ProviderId) -> Self {
        Self {
            id,
            name: String::new(),
            about: String::new(),
            max_file_size: crate::types::limits::BLOB_LEN_MAX,
            chunk_size: crate::types::limits::CHUNK_LEN,
            chunk_len_max: ChunkLen::BASE,
            retention: RETENTION_BASE,
            extensions: BTreeSet::new(),
            announced_at: Timestamp(0),
            relays: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// Whether the provider speaks an extension.
    pub fn speaks(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }

    /// Whether the provider speaks the base protocol only.
    pub fn is_plain(&self) -> bool {
        self.extensions.is_empty()
    }
}

/// The providers that the relays know of. Each newest announcement counts.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// What was found.
    pub providers: BTreeMap<ProviderId, ProviderTerms>,
    /// The relays that answered.
    pub answered: Vec<RelayUrl>,
}

impl Directory {
    /// All providers that the relays list. Announcements cost nothing: whether one answers is another question.
    pub async fn discover(carrier: &dyn Carrier, deadline: Duration) -> Self {
        let letter = SingleLetterTag::lowercase(nostr::Alphabet::K);
        Self::ask(carrier, announcements().custom_tag(letter, REQUEST_KIND.to_string()), deadline).await
    }

    /// These providers, whether they are in anybody's list or not.
    pub async fn by_ids(carrier: &dyn Carrier, ids: &[ProviderId], deadline: Duration) -> Self {
        let keys = ids.iter().map(|id| PublicKey::from_byte_array(*id.as_bytes()));
        let mut found = Self::ask(carrier, announcements().authors(keys), deadline).await;
        found.providers.retain(|id, _| ids.contains(id));
        found
    }

    async fn ask(carrier: &dyn Carrier, filter: Filter, deadline: Duration) -> Self {
        let mut directory = Self::default();
        for (relay, events) in carrier.query(filter, deadline).await {
            directory.answered.push(relay);
            events.iter().filter_map(ProviderTerms::parse).for_each(|terms| directory.learn(terms));
        }
        directory
    }

    fn learn(&mut self, terms: ProviderTerms) {
        let is_known = self.providers.contains_key(&terms.id);
        if !is_known && self.providers.len() >= DIRECTORY_COUNT_MAX {
            return;
        }
        let newest = self.providers.entry(terms.id).or_insert_with(|| terms.clone());
        if newest.announced_at < terms.announced_at {
            *newest = terms;
        }
    }
}

fn announcements() -> Filter {
    Filter::new().kind(Kind::from_u16(ANNOUNCEMENT_KIND)).identifier(SERVICE).limit(DIRECTORY_COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_a_crowd_is_bounded_and_still_learns_of_those_it_has() {
        let terms = |number: usize, at| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            ProviderTerms { announced_at: Timestamp(at), ..ProviderTerms::base(ProviderId::new(id)) }
        };
        let mut directory = Directory::default();
        for number in 0..DIRECTORY_COUNT_MAX + 100 {
            directory.learn(terms(number, 1));
        }
        directory.learn(terms(7, 2));
        directory.learn(terms(8, 0));
        assert_eq!(directory.providers.len(), DIRECTORY_COUNT_MAX);
        assert_eq!(directory.providers[&terms(7, 0).id].announced_at, Timestamp(2));
        assert_eq!(directory.providers[&terms(8, 0).id].announced_at, Timestamp(1));
    }
}
