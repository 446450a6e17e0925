//! Laws of Blossom's tokens, ranges and paths.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::*;
use crate::types::limits::BLOSSOM_TOKEN_LEN_MAX;
use crate::wire::blossom::{Grant, Token, Verb, Wanted, blob_of_path};

const NOW: Timestamp = Timestamp(1_790_000_000);

fn grant() -> Grant {
    let servers = vec!["blobs.example.com".to_owned(), "127.0.0.1".to_owned()];
    let expires = Timestamp(NOW.0 + 60);
    Grant { verb: Verb::Upload, hashes: vec![hash(1), hash(2)], servers, expires }
}

fn token(grant: &Grant) -> Token {
    Token::parse(&grant.header(&keys(), NOW)).unwrap()
}

fn header(event: &Event) -> String {
    format!("Nostr {}", URL_SAFE_NO_PAD.encode(event.as_json()))
}

/// What is wrong with a header.
fn refusal(header: &str) -> String {
    Token::parse(header).unwrap_err().to_string()
}

#[test]
fn token_round_trips_in_every_spelling_of_base64() {
    let event = grant().to_draft().sign(&keys(), NOW);
    let expected = token(&grant());
    assert_eq!((expected.client, &expected.grant), (author_as_client(&event), &grant()));
    // `~?~?` brings both digits in which the alphabets differ.
    let event = Draft { content: "~?~?~?>".repeat(9), ..grant().to_draft() }.sign(&keys(), NOW);
    let mut texts = Vec::new();
    for engine in [URL_SAFE_NO_PAD, URL_SAFE, STANDARD, STANDARD_NO_PAD] {
        texts.push(engine.encode(event.as_json()));
        let text = texts.last().unwrap();
        assert_eq!(Token::parse(&format!("Nostr {text}")).unwrap().grant, grant());
        assert_eq!(Token::parse(&format!(" nostr  {text} ")).unwrap().id, event.id);
    }
    assert!(texts[0].contains(['-', '_']) && texts[2].contains(['+', '/']), "{texts:?}");
}

#[test]
fn header_that_is_no_token_is_refused_and_says_why() {
    let good = grant().header(&keys(), NOW);
    let mut forged = grant().to_draft().sign(&keys(), NOW);
    forged.tags.push(tags::tag(["x", &hash(3).to_string()]));
    let without = |name: &str| {
        let mut draft = grant().to_draft();
        draft.tags.retain(|tag| tag.as_slice()[0] != name);
        header(&draft.sign(&keys(), NOW))
    };
    let with = |parts: [&str; 2]| {
        let mut draft = grant().to_draft();
        draft.tags.retain(|tag| tag.as_slice()[0] != parts[0]);
        draft.tags.push(tags::tag(parts));
        header(&draft.sign(&keys(), NOW))
    };
    let another_kind = Draft { kind: 24_243, ..grant().to_draft() }.sign(&keys(), NOW);
    let many = Grant { hashes: vec![hash(1); TAG_COUNT_MAX], ..grant() };
    for (bad, why) in [
        (String::new(), "no `Nostr` and a token"),
        ("Nostr".to_owned(), "no `Nostr` and a token"),
        (good.replace("Nostr", "Bearer"), "scheme"),
        ("Nostr !!!!".to_owned(), "base64"),
        (format!("Nostr {}", STANDARD.encode("{}")), "no event"),
        (format!("Nostr {}", STANDARD.encode([0xff; 40])), "no event"),
        (good[.."Nostr ".len() + 400].to_owned(), "no event"),
        (format!("Nostr {}", "A".repeat(BLOSSOM_TOKEN_LEN_MAX)), "too long"),
        (header(&forged), "signature"),
        (header(&another_kind), "kind 24243"),
        (without("t"), "\"t\" is missing"),
        (without("expiration"), "\"expiration\" is missing"),
        (with(["t", "steal"]), "verb"),
        (with(["t", "UPLOAD"]), "verb"),
        (with(["expiration", "tomorrow"]), "malformed"),
        (with(["expiration", "-1"]), "malformed"),
        (with(["x", "ABCD"]), "no blob hash"),
        (many.header(&keys(), NOW), "number of tags"),
    ] {
        assert!(refusal(&bad).contains(why), "{bad:.60}: {}", refusal(&bad));
    }
}

#[test]
fn token_allows_what_it_says_here_and_now_and_nothing_else() {
    let (token, here) = (token(&grant()), ["127.0.0.1".to_owned()]);
    token.check(Verb::Upload, &here, NOW).unwrap();
    token.check_blob(&hash(2)).unwrap();
    let refused = |checked: Result<(), WireError>| checked.unwrap_err().to_string();
    assert!(refused(token.check(Verb::Delete, &here, NOW)).contains("something else"));
    assert!(refused(token.check(Verb::Upload, &["else".to_owned()], NOW)).contains("another server"));
    assert!(refused(token.check(Verb::Upload, &[], NOW)).contains("another server"));
    assert!(refused(token.check(Verb::Upload, &here, Timestamp(NOW.0 + 60))).contains("expired"));
    assert!(refused(token.check_blob(&hash(3))).contains("this blob"));
    // A recorded one is of no use later, whatever it says of itself; nor is one from the future.
    let long = self::token(&Grant { expires: Timestamp(u64::MAX), servers: Vec::new(), ..grant() });
    long.check(Verb::Upload, &[], Timestamp(NOW.0 + 120)).unwrap();
    for off in [NOW.0 + 121, NOW.0 - 121] {
        assert!(refused(long.check(Verb::Upload, &[], Timestamp(off))).contains("120 s"));
    }
    // It must name a blob that it is to change.
    let any = self::token(&Grant { hashes: Vec::new(), ..grant() });
    assert!(any.check_blob(&hash(1)).is_err());
}

#[test]
fn range_lies_in_the_blob_or_is_refused_or_is_the_whole() {
    let part = |offset, len| Wanted::Part { offset, len };
    for (text, wanted) in [
        ("bytes=0-0", part(0, 1)),
        ("bytes=0-", part(0, 10)),
        ("bytes=3-5", part(3, 3)),
        ("bytes=3-99999999999999999999999", part(3, 7)),
        (" bytes= 9 - 9 ", part(9, 1)),
        ("bytes=-4", part(6, 4)),
        ("bytes=-400", part(0, 10)),
        ("bytes=-0", Wanted::Outside),
        ("bytes=10-", Wanted::Outside),
        ("bytes=10-20", Wanted::Outside),
        ("bytes=99999999999999999999999-", Wanted::Outside),
        ("bytes=5-3", Wanted::Whole),
        ("bytes=5-x", Wanted::Whole),
        ("bytes=10-x", Wanted::Whole),
        ("bytes=+1-2", Wanted::Whole),
        ("bytes=0-1,3-4", Wanted::Whole),
        ("bytes=-", Wanted::Whole),
        ("bytes=", Wanted::Whole),
        ("bits=0-1", Wanted::Whole),
        ("", Wanted::Whole),
    ] {
        assert_eq!(Wanted::parse(text, 10), wanted, "{text:?}");
    }
    for text in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        assert_eq!(Wanted::parse(text, 0), Wanted::Outside, "{text:?} of nothing");
    }
}

#[test]
fn path_names_a_blob_with_or_without_an_extension() {
    let name = hash(0xab).to_string();
    for path in [format!("/{name}"), format!("/{name}.bin"), format!("/{name}.tar.gz")] {
        assert_eq!(blob_of_path(&path).unwrap(), hash(0xab));
    }
    for path in ["/", "/upload", "", "//", &format!("/{}", name.to_uppercase()), &format!("/{name}/x")] {
        assert!(blob_of_path(path).is_err(), "{path}");
    }
}

#[test]
fn token_is_the_one_that_the_corpus_holds() {
    let known = include_str!("../../../fuzz/corpus/wire_blossom/token");
    assert_eq!(grant().header(&keys(), NOW), known, "the same grant, key and time give the same header");
    let event = include_str!("../../../fuzz/corpus/wire_blossom/event");
    assert_eq!(grant().to_draft().sign(&keys(), NOW).as_json(), event);
}
