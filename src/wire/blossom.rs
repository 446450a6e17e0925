//! Blossom: blobs by their SHA-256 over HTTP, as far as client and server share it (BUD-01, BUD-02, BUD-11, BUD-12).
//!
//! Who asks is shown by a signed event in the header `Authorization`: `Nostr`, a blank, and the event's JSON in base64.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use nostr::{Event, EventId, JsonUtil, Keys, Tag};
use serde::{Deserialize, Serialize};

use crate::types::limits::{BLOSSOM_TOKEN_LEN_MAX, CHANGE_AGE_MAX};
use crate::types::{BlobHash, ClientId, Timestamp};
use crate::wire::tags::{expect_kind, parse_hash, parse_required, required, tag};
use crate::wire::{Draft, WireError, author_as_client, nip01};

/// Kind of the event that shows who asks.
pub const TOKEN_KIND: u16 = 24_242;
/// Type of a blob of which nothing is known (BUD-01).
pub const BLOB_TYPE: &str = "application/octet-stream";
/// The header in which an uploading client may name the blob (BUD-02).
pub const HASH_HEADER: &str = "x-sha-256";
/// The header that tells people why something was refused (BUD-01).
pub const REASON_HEADER: &str = "x-reason";

const SCHEME: &str = "Nostr";

/// BUD-11 says base64url without padding; programs from before it was written use the standard alphabet, and padding.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Read a blob.
    Get,
    /// Store a blob.
    Upload,
    /// Give a blob up.
    Delete,
    /// See what is one's own.
    List,
    /// Have a blob stored and made smaller.
    Media,
}

/// What the owner of a key allows whoever shows the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What to do.
    pub verb: Verb,
    /// With these blobs; with any where it names none.
    pub hashes: Vec<BlobHash>,
    /// At these servers; at any where it names none.
    pub servers: Vec<String>,
    /// Until when.
    pub expires: Timestamp,
}

/// A grant whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub client: ClientId,
    /// The event's id.
    pub id: EventId,
    /// When it was signed.
    pub created_at: Timestamp,
    /// What it allows.
    pub grant: Grant,
}

/// What a server says of a blob that it has stored (BUD-02).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Where it can be read.
    pub url: String,
    /// Its name.
    pub sha256: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    /// Its type.
    #[serde(rename = "type", default)]
    pub media_type: String,
    /// When it was stored.
    pub uploaded: Timestamp,
}

/// What of a blob a header `Range` asks for (RFC 9110 §14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it; also where the header is none that is understood.
    Whole,
    /// A part, which lies in it and has at least one byte.
    Part {
        /// Where it begins.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
    /// A part that it does not have.
    Outside,
}

impl Verb {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Upload => "upload",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Media => "media",
        }
    }

    fn parse(text: &str) -> Result<Self, WireError> {
        let known = [Self::Get, Self::Upload, Self::Delete, Self::List, Self::Media];
        let found = known.into_iter().find(|verb| verb.as_str() == text);
        found.ok_or(WireError::Token { what: "its verb is none" })
    }
}

impl Grant {
    /// Allows `verb` with one blob, at any server.
    pub fn of_blob(verb: Verb, hash: BlobHash, expires: Timestamp) -> Self {
        Self { verb, hashes: vec![hash], servers: Vec::new(), expires }
    }

    /// The event to sign.
    pub fn to_draft(&self) -> Draft {
        let verb = self.verb.as_str();
        let mut tags = vec![tag(["t", verb]), tag(["expiration", &self.expires.0.to_string()])];
        tags.extend(self.hashes.iter().map(|hash| tag(["x", &hash.to_string()])));
        tags.extend(self.servers.iter().map(|server| tag(["server", server])));
        Draft { kind: TOKEN_KIND, content: format!("{verb} a blob"), tags }
    }

    /// Reads a verified event.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, TOKEN_KIND)?;
        let values = |name: &'static str| {
            let tags = event.tags.iter().map(Tag::as_slice);
            tags.filter(move |tag| tag[0] == name).filter_map(|tag| tag.get(1))
        };
        Ok(Self {
            verb: Verb::parse(required(event, "t")?)?,
            hashes: values("x").map(|text| parse_hash(text)).collect::<Result<_, _>>()?,
            servers: values("server").cloned().collect(),
            expires: Timestamp(parse_required(event, "expiration")?),
        })
    }

    /// The header `Authorization` of a request, signed now.
    pub fn header(&self, keys: &Keys, now: Timestamp) -> String {
        let event = self.to_draft().sign(keys, now);
        format!("{SCHEME} {}", URL_SAFE.encode(nip01::to_json(&event)))
    }
}

impl Token {
    /// Reads a header `Authorization`, and verifies the signature.
    ///
    /// # Errors
    /// [`WireError::Token`], and those of [`Grant::parse`].
    pub fn parse(header: &str) -> Result<Self, WireError> {
        let wrong = |what| WireError::Token { what };
        if header.len() > BLOSSOM_TOKEN_LEN_MAX {
            return Err(wrong("it is too long"));
        }
        let (scheme, text) = header.trim().split_once(' ').ok_or(wrong("it is no `Nostr` and a token"))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(wrong("its scheme is not `Nostr`"));
        }
        let text = text.trim();
        let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
        let json = engine.decode(text).map_err(|_| wrong("it is not base64"))?;
        let event = Event::from_json(&json).map_err(|_| wrong("it is no event"))?;
        if !nip01::verifies(&event) {
            return Err(wrong("its signature is not its author's"));
        }
        let grant = Grant::parse(&event)?;
        let (client, created_at) = (author_as_client(&event), Timestamp(event.created_at.as_secs()));
        Ok(Self { client, id: event.id, created_at, grant })
    }

    /// Checks that it allows `verb` now, at a server that is called one of `names` (BUD-11, "Validation").
    ///
    /// A token is as good as a change that a relay brings (invariant I11): while it is fresh.
    ///
    /// # Errors
    /// [`WireError::Token`].
    pub fn check(&self, verb: Verb, names: &[String], now: Timestamp) -> Result<(), WireError> {
        let grant = &self.grant;
        let is_here = grant.servers.is_empty() || grant.servers.iter().any(|server| names.contains(server));
        let what = if grant.verb != verb {
            "it is for something else"
        } else if grant.expires <= now {
            "it has expired"
        } else if self.created_at.distance(now) > CHANGE_AGE_MAX {
            "its time is more than 120 s from this server's"
        } else if !is_here {
            "it is for another server"
        } else {
            return Ok(());
        };
        Err(WireError::Token { what })
    }

    /// Checks that it names the blob: what changes something must.
    ///
    /// # Errors
    /// [`WireError::Token`].
    pub fn check_blob(&self, hash: &BlobHash) -> Result<(), WireError> {
        if self.grant.hashes.contains(hash) {
            return Ok(());
        }
        Err(WireError::Token { what: "it does not name this blob" })
    }
}

impl Wanted {
    /// What `header` wants of a blob of `len` bytes. One range is understood; several are answered with the whole, as
    /// RFC 9110 allows.
    pub fn parse(header: &str, len: u64) -> Self {
        let Some((first, last)) =
            header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        match (number(first), number(last)) {
            (Some(first), Some(last)) if last < first => Self::Whole,
            (Some(first), None) if !last.is_empty() || first >= len => match last {
                "" => Self::Outside,
                _ => Self::Whole,
            },
            (Some(first), _) if first >= len => Self::Outside,
            (Some(first), Some(last)) => Self::Part { offset: first, len: last.min(len - 1) - first + 1 },
            (Some(first), None) => Self::Part { offset: first, len: len - first },
            (None, Some(count)) if first.is_empty() => match count.min(len) {
                0 => Self::Outside,
                part => Self::Part { offset: len - part, len: part },
            },
            _ => Self::Whole,
        }
    }
}

/// The blob that a path names: `/<sha256>`, with or without an extension (BUD-01).
///
/// # Errors
/// [`WireError::Hash`].
pub fn blob_of_path(path: &str) -> Result<BlobHash, WireError> {
    let name = path.strip_prefix('/').unwrap_or(path);
    let hash = name.split_once('.').map_or(name, |(hash, _extension)| hash);
    parse_hash(hash)
}

/// Digits as a number; one that is too large for any blob is larger than all of them.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
