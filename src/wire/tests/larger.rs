//! Chunks that are longer than the base protocol's (extension `larger`).

use super::*;

#[test]
fn request_says_how_long_chunks_shall_be_and_only_where_that_is_not_the_base() {
    for len in [CHUNK_LEN, 2 * CHUNK_LEN, CHUNK_LEN_MAX] {
        let chunk_len = ChunkLen::new(len).unwrap();
        let size = 300_000;
        let chunked = StoreBody::Chunked { hash: hash(1), size, chunks: chunk_len.count(size).unwrap() };
        let ranges = Some("0".parse().unwrap());
        for action in [store(chunked), Action::Retrieve { hashes: Hashes::One(hash(1)), ranges }] {
            let request = Request { chunk_len, ..request(action) };
            let event = signed(request.to_draft());
            assert_eq!(event.content.contains(&format!(r#""chunk_size":{len}"#)), len != CHUNK_LEN);
            assert_eq!(Request::parse(&event).unwrap(), request);
        }
    }
}

#[test]
fn chunk_sizes_that_there_are_not_and_counts_that_do_not_fit_them_are_refused() {
    let digits = "ab".repeat(32);
    for len in
        ["0", "1", "32767", "49152", "557056", "10485760", "-32768", "18446744073709551616", "\"65536\""]
    {
        let content = format!(r#"{{"action":"retrieve","hash":"{digits}","chunk_size":{len}}}"#);
        assert_eq!(parse_request(&content).unwrap_err().code(), ErrorCode::InvalidRequest, "{len}");
    }
    for (chunks, is_right) in [(1, false), (2, true), (4, false)] {
        let content = format!(
            r#"{{"action":"store","hash":"{digits}","size":100000,"chunks":{chunks},"chunk_size":65536}}"#
        );
        assert_eq!(parse_request(&content).is_ok(), is_right, "{chunks}");
    }
}

#[test]
fn announced_chunk_sizes_are_cut_to_those_that_there_are() {
    for (said, taken) in
        [(None, CHUNK_LEN), (Some("1"), CHUNK_LEN), (Some("70000"), 65_536), (Some("9999999"), CHUNK_LEN_MAX)]
    {
        let mut tags: Vec<&[&str]> = vec![&["d", SERVICE]];
        let value = ["chunk_size_max", said.unwrap_or_default()];
        tags.extend(said.map(|_| &value[..]));
        let announcement = Announcement::parse(&raw(ANNOUNCEMENT_KIND, "", &tags)).unwrap();
        assert_eq!((announcement.chunk_len_max.bytes(), announcement.chunk_size), (taken, CHUNK_LEN));
    }
}

#[test]
fn longest_chunk_is_read_and_its_event_is_as_long_as_the_document_says() {
    let data = Bytes::from(vec![0xff; usize::try_from(CHUNK_LEN_MAX).unwrap()]);
    let upload =
        Upload { provider: ProviderId::new([8; 32]), hash: hash(1), index: ChunkIndex(19), total: 20, data };
    let event = signed(upload.to_draft());
    assert_eq!(Upload::parse(&event).unwrap(), upload);
    assert!((699_000..701_000).contains(&event.as_json().len()), "{}", event.as_json().len());
}
