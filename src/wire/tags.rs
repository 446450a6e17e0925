//! Tags of an event: building them, and reading the first value of a name.

use std::str::FromStr;

use nostr::{Event, EventId, Kind, RelayUrl, Tag};

use crate::types::limits::{ENDPOINT_COUNT_MAX, RELAY_COUNT_MAX, RELAY_URL_LEN_MAX, TAG_COUNT_MAX};
use crate::types::{BlobHash, ClientId, ProviderId};
use crate::wire::error::{WireError, cut};
use crate::wire::{ANNOUNCEMENT_KIND, SERVICE};

/// A tag from its name and values.
pub(crate) fn tag<'a>(parts: impl IntoIterator<Item = &'a str>) -> Tag {
    Tag::parse(parts).expect("a tag that is built here has a name")
}

/// The address of a provider's announcement, as the `a` tag of requests carries it.
pub fn address(provider: ProviderId) -> String {
    format!("{ANNOUNCEMENT_KIND}:{provider}:{SERVICE}")
}

/// The provider whose announcement `address` names.
pub(crate) fn parse_address(address: &str) -> Option<ProviderId> {
    let mut parts = address.splitn(3, ':');
    let kind = parts.next()?.parse::<u16>().ok()?;
    let provider = ProviderId::parse(parts.next()?).ok()?;
    (kind == ANNOUNCEMENT_KIND && parts.next()? == SERVICE).then_some(provider)
}

/// The `relays` tag, if there are any.
pub(crate) fn relays_tag(relays: &[RelayUrl]) -> Option<Tag> {
    let urls = relays.iter().take(RELAY_COUNT_MAX).map(RelayUrl::as_str);
    (!relays.is_empty()).then(|| tag(std::iter::once("relays").chain(urls)))
}

/// The relays of a `relays` tag; what is no relay's address is left out.
pub(crate) fn parse_relays(event: &Event) -> Vec<RelayUrl> {
    let values = find(event, "relays").and_then(|values| values.get(1..)).unwrap_or_default();
    values.iter().take(RELAY_COUNT_MAX).filter_map(|url| RelayUrl::parse(url).ok()).collect()
}

/// The `direct` tag, if there are any endpoints.
pub(crate) fn endpoints_tag(endpoints: &[RelayUrl]) -> Option<Tag> {
    let urls = endpoints.iter().take(ENDPOINT_COUNT_MAX).map(RelayUrl::as_str);
    (!endpoints.is_empty()).then(|| tag(std::iter::once("direct").chain(urls)))
}

/// The endpoints of a `direct` tag; what is more than a WebSocket's address, or none, is left out.
pub(crate) fn parse_endpoints(event: &Event) -> Vec<RelayUrl> {
    let values = find(event, "direct").and_then(|values| values.get(1..)).unwrap_or_default();
    values.iter().take(ENDPOINT_COUNT_MAX).filter_map(|text| parse_endpoint(text)).collect()
}

/// An endpoint; `None` if it is more than a WebSocket's address, or none.
pub fn parse_endpoint(text: &str) -> Option<RelayUrl> {
    // Whoever is made to connect somewhere is not made to say anything there.
    let is_plain = text.len() <= RELAY_URL_LEN_MAX && !text.contains(['?', '#', '@']);
    RelayUrl::parse(text).ok().filter(|_| is_plain)
}

/// Fails unless the event is of the wanted kind and has a bounded number of tags.
pub(crate) fn expect_kind(event: &Event, wanted: u16) -> Result<(), WireError> {
    if event.kind != Kind::from_u16(wanted) {
        return Err(WireError::Kind { found: event.kind.as_u16(), wanted });
    }
    if event.tags.len() > TAG_COUNT_MAX {
        let (found, max) = (event.tags.len() as u64, TAG_COUNT_MAX as u64);
        return Err(WireError::TooMuch { what: "number of tags", found, max });
    }
    Ok(())
}

/// The first tag of that name, name included.
pub(crate) fn find<'e>(event: &'e Event, name: &str) -> Option<&'e [String]> {
    event.tags.iter().map(Tag::as_slice).find(|values| values.first().is_some_and(|first| first == name))
}

/// The first value of the first tag of that name.
pub fn value<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    find(event, name)?.get(1).map(String::as_str)
}

/// The first value of a tag that must be there.
pub(crate) fn required<'e>(event: &'e Event, tag: &'static str) -> Result<&'e str, WireError> {
    value(event, tag).ok_or(WireError::TagMissing { tag })
}

/// Parses the value of a tag that may be absent.
pub(crate) fn parse_optional<T: FromStr>(event: &Event, tag: &'static str) -> Result<Option<T>, WireError> {
    value(event, tag).map(|text| text.parse().map_err(|_| malformed(tag, text))).transpose()
}

/// Parses the value of a tag that must be there.
pub(crate) fn parse_required<T: FromStr>(event: &Event, tag: &'static str) -> Result<T, WireError> {
    parse_optional(event, tag)?.ok_or(WireError::TagMissing { tag })
}

/// The blob that a tag names.
pub(crate) fn blob_hash(event: &Event, tag: &'static str) -> Result<BlobHash, WireError> {
    parse_hash(required(event, tag)?)
}

/// The request that an answer names in its `e` tag.
pub(crate) fn request_id(event: &Event) -> Result<EventId, WireError> {
    let text = required(event, "e")?;
    EventId::from_hex(text).map_err(|_| malformed("e", text))
}

/// The requester that an answer names in its `p` tag.
pub(crate) fn requester(event: &Event) -> Result<ClientId, WireError> {
    parse_required(event, "p")
}

/// Parses a blob hash, with an error that tells it from other mistakes.
pub(crate) fn parse_hash(text: &str) -> Result<BlobHash, WireError> {
    BlobHash::parse(text).map_err(|_| WireError::Hash { text: cut(text) })
}

/// The error of a tag whose value is wrong.
pub(crate) fn malformed(tag: &'static str, value: &str) -> WireError {
    WireError::TagMalformed { tag, value: cut(value) }
}

/// A text from outside, made fit for a terminal: cut to `max` characters, control characters left out.
pub(crate) fn printable(text: &str, max: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(max).collect()
}
