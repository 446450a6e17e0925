//! Round trips of every kind, and what every kind refuses.

mod audit;
mod blossom;
mod larger;

use std::time::Duration;

use bytes::Bytes;
use nostr::{Event, EventId, JsonUtil, Keys, RelayUrl};
use proptest::prelude::*;

use crate::types::limits::{
    BATCH_COUNT_MAX, BLOB_LEN_MAX, CHUNK_LEN, CHUNK_LEN_MAX, EVENT_LEN_MAX, EXTENSION_COUNT_MAX,
    RELAY_COUNT_MAX, REQUEST_LEN_MAX, TAG_COUNT_MAX,
};
use crate::types::{AuditNonce, BlobHash, ChunkIndex, ChunkLen, ClientId, ProviderId, Timestamp};
use crate::wire::*;

fn keys() -> Keys {
    Keys::parse(&"01".repeat(32)).unwrap()
}

fn signed(draft: Draft) -> Event {
    draft.with_nonce(7).sign(&keys(), Timestamp(1_790_000_000))
}

fn raw(kind: u16, content: &str, tags: &[&[&str]]) -> Event {
    let tags = tags.iter().map(|parts| tags::tag(parts.iter().copied())).collect();
    signed(Draft { kind, content: content.to_owned(), tags })
}

fn hash(byte: u8) -> BlobHash {
    BlobHash::new([byte; 32])
}

fn request(action: Action) -> Request {
    let relays = vec![RelayUrl::parse("ws://127.0.0.1:7777").unwrap()];
    Request {
        provider: ProviderId::new([9; 32]),
        relays,
        number: Some(RequestNumber(0xabc)),
        chunk_len: ChunkLen::BASE,
        action,
    }
}

fn response(answer: Answer) -> Response {
    let request = EventId::from_byte_array([3; 32]);
    Response { request, requester: ClientId::new([4; 32]), number: Some(RequestNumber(1)), answer }
}

fn info() -> BlobInfo {
    BlobInfo { hash: hash(1), size: 40_000, chunks: 2, expires: Timestamp(1_790_086_400) }
}

fn store(body: StoreBody) -> Action {
    let retention = Some(Duration::from_secs(90));
    Action::Store(Store { body, filename: Some("x.jpg".into()), encrypt: true, quiet: true, retention })
}

fn actions() -> Vec<Action> {
    let many = Hashes::Many(vec![hash(1), hash(2)]);
    vec![
        store(StoreBody::Inline(Bytes::from_static(b"bytes"))),
        store(StoreBody::Inline(Bytes::new())),
        store(StoreBody::Chunked { hash: hash(1), size: CHUNK_LEN + 1, chunks: 2 }),
        Action::Retrieve { hashes: Hashes::One(hash(1)), ranges: None },
        Action::Retrieve { hashes: Hashes::One(hash(1)), ranges: Some("0-3,7".parse().unwrap()) },
        Action::Retrieve { hashes: many.clone(), ranges: None },
        Action::Delete(Hashes::One(hash(5))),
        Action::Delete(many.clone()),
        Action::Stat(many.clone()),
        Action::Renew { hashes: many, retention: Some(Duration::from_secs(3600)) },
        Action::List { after: Some(hash(1)), limit: Some(10) },
        Action::List { after: None, limit: None },
        Action::Audit { nonce: AuditNonce::new([7; 32]), hashes: vec![hash(1), hash(1)] },
    ]
}

fn answers() -> Vec<Answer> {
    let promise = Promise { size: 5, expires: Timestamp(6) };
    let of_all = [ItemsOf::Stat, ItemsOf::Renew, ItemsOf::Delete, ItemsOf::Retrieve];
    let claim = |byte| Claim { hash: hash(byte), size: 1, expires: Timestamp(2) };
    let mut answers = vec![
        Answer::Stored(info()),
        Answer::Available(info()),
        Answer::Deleted(hash(1)),
        Answer::Missing { hash: hash(1), chunks: "0-3,7".parse().unwrap() },
        Answer::Listed { claims: vec![claim(1), claim(2)], more: true },
        Answer::Listed { claims: vec![], more: false },
    ];
    answers.extend(of_all.map(|of| Answer::Items { of, items: vec![None, Some(promise)] }));
    answers
}

#[test]
fn every_request_round_trips() {
    for action in actions() {
        let request = request(action);
        assert_eq!(Request::parse(&signed(request.to_draft())).unwrap(), request);
    }
}

#[test]
fn every_response_round_trips() {
    for answer in answers() {
        let response = response(answer);
        assert_eq!(Response::parse(&signed(response.to_draft())).unwrap(), response);
    }
}

#[test]
fn announcement_round_trips() {
    for retention in [90 * 24 * 3600, 5400, 10] {
        let announcement = Announcement {
            name: "Alice's shelf".into(),
            about: "in the cellar".into(),
            max_file_size: BLOB_LEN_MAX,
            chunk_size: CHUNK_LEN,
            chunk_len_max: ChunkLen::MAX,
            retention: Duration::from_secs(retention),
            extensions: Extension::ALL.into_iter().collect(),
            documentation: "https://example.org/docs".into(),
            relays: vec![RelayUrl::parse("wss://relay.example.org").unwrap()],
            endpoints: vec![RelayUrl::parse("ws://192.0.2.1:7788").unwrap()],
        };
        assert_eq!(Announcement::parse(&signed(announcement.to_draft())).unwrap(), announcement);
    }
}

#[test]
fn announcement_that_says_little_has_the_base_values() {
    let event = raw(ANNOUNCEMENT_KIND, "", &[&["d", SERVICE], &["ext", "teleport"], &["ext"]]);
    let announcement = Announcement::parse(&event).unwrap();
    assert_eq!(announcement.max_file_size, BLOB_LEN_MAX);
    assert_eq!(announcement.chunk_size, CHUNK_LEN);
    assert_eq!(announcement.retention, Duration::from_secs(24 * 3600));
    assert!(announcement.extensions.is_empty());
}

#[test]
fn announced_names_are_short_and_printable() {
    let name = format!("\u{1b}[31m{}", "x".repeat(1000));
    let event = raw(ANNOUNCEMENT_KIND, "", &[&["d", SERVICE], &["name", &name]]);
    let announcement = Announcement::parse(&event).unwrap();
    assert!(announcement.name.starts_with("[31mx") && announcement.name.len() <= 80);
}

#[test]
fn announcement_with_absurd_numbers_is_refused() {
    for tag in [["retention_hours", "18446744073709551615"], ["max_file_size", "-1"], ["chunk_size", "1e9"]] {
        assert!(
            Announcement::parse(&raw(ANNOUNCEMENT_KIND, "", &[&["d", SERVICE], &tag])).is_err(),
            "{tag:?}"
        );
    }
}

#[test]
fn status_round_trips() {
    for kind in [
        StatusKind::Processing,
        StatusKind::Error(ErrorCode::StorageFull),
        StatusKind::Error(ErrorCode::Other("MOON_FULL".into())),
        StatusKind::Other("waiting".into()),
    ] {
        let (request, requester) = (EventId::from_byte_array([3; 32]), ClientId::new([4; 32]));
        let status =
            Status { request, requester, number: Some(RequestNumber(5)), kind, text: "so it is".into() };
        assert_eq!(Status::parse(&signed(status.to_draft())).unwrap(), status);
    }
}

#[test]
fn error_code_is_read_from_the_text_where_no_tag_says_it() {
    let (e, p) = ("03".repeat(32), "04".repeat(32));
    let tags: [&[&str]; 3] = [&["e", &e], &["p", &p], &["status", "error"]];
    for (content, code) in [
        ("FILE_NOT_FOUND: no such file", ErrorCode::FileNotFound),
        ("STORAGE_FULL", ErrorCode::StorageFull),
        ("something broke", ErrorCode::InternalError),
        ("", ErrorCode::InternalError),
    ] {
        assert_eq!(Status::parse(&raw(STATUS_KIND, content, &tags)).unwrap().kind, StatusKind::Error(code));
    }
}

proptest! {
    #[test]
    fn chunks_and_uploads_round_trip(data in proptest::collection::vec(any::<u8>(), 1..2000), index in 0..320_u32) {
        let (index, data) = (ChunkIndex(index), Bytes::from(data));
        let direction = Direction { request: EventId::from_byte_array([3; 32]), requester: ClientId::new([4; 32]) };
        for direction in [None, Some(direction)] {
            let chunk_hash = Chunk::hash_of(&data);
            let expiration = direction.map(|_| Timestamp(9));
            let (hash, data) = (hash(1), data.clone());
            let chunk = Chunk { hash, index, total: 320, chunk_hash, expiration, direction, data };
            prop_assert!(chunk.is_intact());
            prop_assert_eq!(Chunk::parse(&signed(chunk.to_draft())).unwrap(), chunk);
        }
        let upload = Upload { provider: ProviderId::new([8; 32]), hash: hash(1), index, total: 320, data };
        prop_assert_eq!(Upload::parse(&signed(upload.to_draft())).unwrap(), upload);
    }

    #[test]
    fn no_content_makes_a_parser_panic(content in ".{0,200}", number in any::<u64>()) {
        let number = number.to_string();
        let text = "ab".repeat(32);
        let tags: [&[&str]; 9] = [
            &["a", &tags::address(ProviderId::new([1; 32]))], &["e", &text], &["p", &text], &["x", &text],
            &["d", SERVICE], &["status", &content], &["chunk_index", &number], &["chunk_total", &number],
            &["file_hash", &content],
        ];
        for kind in [ANNOUNCEMENT_KIND, REQUEST_KIND, RESPONSE_KIND, CHUNK_KIND, UPLOAD_KIND, STATUS_KIND] {
            parse_as_every_kind(&raw(kind, &content, &tags));
        }
    }
}

fn parse_as_every_kind(event: &Event) {
    let _ = Announcement::parse(event);
    let _ = Request::parse(event);
    let _ = Response::parse(event);
    let _ = Chunk::parse(event);
    let _ = Upload::parse(event);
    let _ = Status::parse(event);
}

fn parse_request(content: &str) -> Result<Request, WireError> {
    Request::parse(&raw(REQUEST_KIND, content, &[&["a", &tags::address(ProviderId::new([1; 32]))]]))
}

#[test]
fn requests_of_the_simplest_client_are_understood() {
    let digits = "ab".repeat(32);
    assert!(parse_request(r#"{"action":"store","data":"aGk=","filename":"x.jpg","encrypt":false}"#).is_ok());
    assert!(parse_request(r#"{"action":"store","data":"\/\/8="}"#).is_ok(), "JSON escapes are read");
    assert!(parse_request(&format!(r#"{{"action":"retrieve","hash":"{digits}"}}"#)).is_ok());
    assert!(parse_request(&format!(r#"{{"hash":"{digits}","action":"delete","more":[1]}}"#)).is_ok());
}

#[test]
fn malformed_requests_are_refused_with_their_code() {
    let digits = "ab".repeat(32);
    let upper = "AB".repeat(32);
    let invalid = ErrorCode::InvalidRequest;
    for (content, code) in [
        (String::new(), invalid.clone()),
        ("[]".into(), invalid.clone()),
        (r#"{"action":"store"}"#.into(), invalid.clone()),
        (r#"{"action":"store","data":"***"}"#.into(), invalid.clone()),
        (r#"{"action":"format"}"#.into(), invalid.clone()),
        (r#"{"action":"delete"}"#.into(), invalid.clone()),
        (r#"{"action":"delete","hashes":[]}"#.into(), invalid.clone()),
        (r#"{"action":"retrieve","hash":"abc"}"#.into(), ErrorCode::InvalidHash),
        (format!(r#"{{"action":"retrieve","hash":"{upper}"}}"#), ErrorCode::InvalidHash),
        (format!(r#"{{"action":"stat","hashes":["{digits}","x"]}}"#), ErrorCode::InvalidHash),
        (format!(r#"{{"action":"retrieve","hash":"{digits}","ranges":"4-2"}}"#), invalid.clone()),
        (format!(r#"{{"action":"retrieve","hashes":["{digits}"],"ranges":"0"}}"#), invalid.clone()),
        (format!(r#"{{"action":"store","hash":"{digits}","size":32769,"chunks":1}}"#), invalid.clone()),
        (
            format!(r#"{{"action":"store","hash":"{digits}","size":99999999,"chunks":3052}}"#),
            ErrorCode::FileTooLarge,
        ),
        (format!(r#"{{"action":"delete","hash":"{digits}","req":"xyz"}}"#), invalid),
    ] {
        assert_eq!(parse_request(&content).unwrap_err().code(), code, "{content}");
    }
}

#[test]
fn inline_store_beyond_the_largest_blob_is_too_large() {
    let data = "A".repeat(usize::try_from(BLOB_LEN_MAX).unwrap() / 3 * 4 + 8);
    let error = parse_request(&format!(r#"{{"action":"store","data":"{data}"}}"#)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FileTooLarge);
}

#[test]
fn batch_beyond_its_limit_is_refused() {
    let list = |count: usize| vec![format!("\"{}\"", "ab".repeat(32)); count].join(",");
    let batch = |count| parse_request(&format!(r#"{{"action":"stat","hashes":[{}]}}"#, list(count)));
    assert!(batch(BATCH_COUNT_MAX).is_ok());
    assert!(batch(BATCH_COUNT_MAX + 1).is_err());
}

#[test]
fn largest_batches_chunks_and_pages_fit_the_events_of_every_relay() {
    let hashes: Vec<BlobHash> =
        (0..BATCH_COUNT_MAX).map(|index| BlobHash::of(&index.to_le_bytes())).collect();
    let size = BLOB_LEN_MAX;
    let expires = Timestamp(9_999_999_999);
    let mut sorted = hashes.clone();
    sorted.sort();
    let claims = sorted.into_iter().map(|hash| Claim { hash, size, expires }).collect();
    let items = vec![Some(Promise { size, expires }); BATCH_COUNT_MAX];
    let data = Bytes::from(vec![0xff; usize::try_from(CHUNK_LEN).unwrap()]);
    let upload =
        Upload { provider: ProviderId::new([8; 32]), hash: hash(1), index: ChunkIndex(0), total: 320, data };
    for draft in [
        request(Action::Delete(Hashes::Many(hashes))).to_draft(),
        response(Answer::Listed { claims, more: true }).to_draft(),
        response(Answer::Items { of: ItemsOf::Retrieve, items }).to_draft(),
        upload.to_draft(),
    ] {
        let event = signed(draft);
        assert!(event.as_json().len() < EVENT_LEN_MAX, "kind {}", event.kind);
    }
}

#[test]
fn event_with_more_tags_than_are_read_is_refused() {
    let address = tags::address(ProviderId::new([1; 32]));
    let content = format!(r#"{{"action":"delete","hash":"{}"}}"#, "ab".repeat(32));
    let with_tags = |count: usize| {
        let mut all: Vec<&[&str]> = vec![&["t", "x"]; count - 2];
        let address = ["a", address.as_str()];
        all.push(&address);
        // Signing adds one more, the nonce.
        Request::parse(&raw(REQUEST_KIND, &content, &all))
    };
    assert!(with_tags(TAG_COUNT_MAX).is_ok());
    assert!(matches!(with_tags(TAG_COUNT_MAX + 1), Err(WireError::TooMuch { what: "number of tags", .. })));
}

#[test]
fn relays_and_extensions_beyond_their_limits_are_not_read() {
    let urls: Vec<String> = (0..40).map(|number| format!("ws://127.0.0.1:{}", 1000 + number)).collect();
    let relays: Vec<&str> = std::iter::once("relays").chain(urls.iter().map(String::as_str)).collect();
    let mut all: Vec<&[&str]> = vec![&["ext", "x"]; EXTENSION_COUNT_MAX];
    all.extend([&["d", SERVICE][..], &["ext", "stat"], &relays]);
    let announcement = Announcement::parse(&raw(ANNOUNCEMENT_KIND, "", &all)).unwrap();
    assert_eq!((announcement.relays.len(), announcement.extensions.len()), (RELAY_COUNT_MAX, 0));
}

#[test]
fn request_beyond_any_blob_is_refused_before_it_is_parsed() {
    let content = "x".repeat(REQUEST_LEN_MAX + 1);
    assert_eq!(parse_request(&content).unwrap_err().code(), ErrorCode::FileTooLarge);
}

#[test]
fn chunk_outside_its_blob_or_its_length_is_refused() {
    let digits = "ab".repeat(32);
    let long = "A".repeat(usize::try_from(CHUNK_LEN_MAX).unwrap() / 3 * 4 + 8);
    for (index, total, content) in [
        ("2", "2", "aGk="),
        ("0", "0", "aGk="),
        ("0", "321", "aGk="),
        ("-1", "2", "aGk="),
        ("0", "1", ""),
        ("0", "1", &long),
    ] {
        let position: [&[&str]; 2] = [&["chunk_index", index], &["chunk_total", total]];
        let upload = raw(UPLOAD_KIND, content, &[&["p", &digits], &["x", &digits], position[0], position[1]]);
        assert!(Upload::parse(&upload).is_err(), "{index} {total}");
        let tags: [&[&str]; 4] =
            [&["file_hash", &digits], &["chunk_hash", &digits], position[0], position[1]];
        assert!(Chunk::parse(&raw(CHUNK_KIND, content, &tags)).is_err(), "{index} {total}");
    }
}

#[test]
fn an_event_of_one_kind_is_none_of_another() {
    let event = signed(request(Action::Delete(Hashes::One(hash(1)))).to_draft());
    assert!(matches!(
        Response::parse(&event),
        Err(WireError::Kind { found: REQUEST_KIND, wanted: RESPONSE_KIND })
    ));
}

#[test]
fn a_signed_draft_verifies_and_a_nonce_changes_its_id() {
    let draft = request(Action::Stat(Hashes::One(hash(1)))).to_draft();
    let event = draft.clone().with_nonce(1).sign(&keys(), Timestamp(5));
    assert!(event.verify().is_ok());
    assert_eq!(event, draft.clone().with_nonce(1).sign(&keys(), Timestamp(5)));
    assert_ne!(event.id, draft.with_nonce(2).sign(&keys(), Timestamp(5)).id);
}

proptest! {
    #[test]
    fn fuzz_targets_hold_on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[-0-9,]{0,9}") {
        for (_, target) in fuzz::TARGETS {
            target(&bytes);
            target(text.as_bytes());
        }
    }
}

#[test]
fn fuzz_targets_hold_on_every_event_that_is_written_here() {
    let requests = actions().into_iter().map(|action| request(action).to_draft());
    for draft in requests.chain(answers().into_iter().map(|answer| response(answer).to_draft())) {
        fuzz::request(draft.content.as_bytes());
        fuzz::response(draft.content.as_bytes());
        fuzz::event(signed(draft).as_json().as_bytes());
    }
}
