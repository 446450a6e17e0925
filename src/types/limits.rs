//! Every number that bounds what an outsider, or a file, can make this program hold or wait for.
//!
//! Lengths are bytes. A limit that belongs to the protocol or the format names the document that fixes it.

use std::time::Duration;

/// Bytes of one chunk (docs/protocol.md, "Base").
pub const CHUNK_LEN: u64 = 32_768;
/// Bytes of the longest chunk that can be asked for (docs/protocol.md, "larger"): its event has 700 KB of JSON.
pub const CHUNK_LEN_MAX: u64 = 524_288;
/// Relays of which a vault remembers how long chunks they pass.
pub const MEASURED_RELAY_COUNT_MAX: usize = 64;
/// Largest blob of the base protocol (docs/protocol.md, "Base").
pub const BLOB_LEN_MAX: u64 = 10_485_760;
/// Chunks of the largest blob.
pub const CHUNK_COUNT_MAX: u32 = 320;
/// Retention that holds where a provider announces none (docs/protocol.md, "Base").
pub const RETENTION_BASE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of event JSON that every relay known to us passes (shared facts: strfry's limit is 65,536).
pub const EVENT_LEN_MAX: usize = 60_000;
/// Largest relay message that is taken: one base64 blob of `BLOB_LEN_MAX` in a JSON string, and room for its tags.
pub const MESSAGE_LEN_MAX: usize = 15 * 1024 * 1024;
/// Bytes of events that wait for one slow reader of a subscription, about; the oldest are lost beyond it.
pub const SUBSCRIPTION_QUEUE_LEN_MAX: usize = 32 * 1024 * 1024;
/// Events that wait for one slow reader of a subscription.
pub const SUBSCRIPTION_EVENT_COUNT_MAX: usize = 8_192;
/// Bytes that wait to be sent to one relay; whoever publishes more waits.
pub const RELAY_QUEUE_LEN_MAX: u32 = 4 * 1024 * 1024;
/// Bytes of a relay's message that is no event; longer ones are not read.
pub const NOTICE_LEN_MAX: usize = 64 * 1024;
/// Messages of one relay, other than events, that wait to be read; the oldest are lost beyond it.
pub const NOTICE_COUNT_MAX: usize = 512;
/// Stored events that one relay may answer to one query.
pub const QUERY_EVENT_COUNT_MAX: usize = 5_000;
/// Bytes of memory that the answer of one relay to one query may take.
pub const QUERY_ANSWER_LEN_MAX: usize = 32 * 1024 * 1024;
/// Event ids that a subscription remembers, so that what several relays bring is handed over once.
pub const SEEN_EVENT_COUNT_MAX: usize = 16_384;
/// Clients of the embedded relay at once; more wait to be accepted.
pub const RELAY_CONNECTION_COUNT_MAX: usize = 128;
/// Subscriptions of one client of the embedded relay.
pub const RELAY_SUBSCRIPTION_COUNT_MAX: usize = 64;
/// Bytes of a subscription's name (NIP-01).
pub const SUBSCRIPTION_NAME_LEN_MAX: usize = 64;
/// Filters of one subscription at the embedded relay.
pub const FILTER_COUNT_MAX: usize = 16;
/// Values that the filters of one subscription at the embedded relay name together.
pub const FILTER_VALUE_COUNT_MAX: usize = 2_000;
/// Tags of one event at the embedded relay.
pub const EVENT_TAG_COUNT_MAX: usize = 2_000;
/// Stored events that the embedded relay answers to one filter.
pub const RELAY_ANSWER_COUNT_MAX: usize = 500;
/// Bytes that wait to be written to one client of the embedded relay.
pub const READER_QUEUE_LEN_MAX: u32 = 8 * 1024 * 1024;
/// Bytes that wait to be written to all clients of the embedded relay together.
pub const READER_QUEUES_LEN_MAX: u32 = 64 * 1024 * 1024;
/// Events that the embedded relay keeps.
pub const STORED_EVENT_COUNT_MAX: usize = 10_000;
/// Bytes of one event that the embedded relay keeps.
pub const STORED_EVENT_LEN_MAX: usize = 256 * 1024;
/// Bytes of all events that the embedded relay keeps.
pub const STORED_EVENTS_LEN_MAX: usize = 64 * 1024 * 1024;
/// Blobs named in one batch request, so that request and answer stay under `EVENT_LEN_MAX`.
pub const BATCH_COUNT_MAX: usize = 500;
/// Samples of one audit request, so that request and answer stay under `EVENT_LEN_MAX` (docs/protocol.md, "audit").
pub const AUDIT_COUNT_MAX: usize = 28;
/// Hashes on the way from a leaf of the largest blob up to its root (docs/protocol.md, "audit").
pub const AUDIT_PATH_COUNT_MAX: usize = 14;
/// Tags of an event that is read at all.
pub const TAG_COUNT_MAX: usize = 64;
/// Relays that are read from one event.
pub const RELAY_COUNT_MAX: usize = 16;
/// Extension tags that are read from one announcement.
pub const EXTENSION_COUNT_MAX: usize = 32;
/// Characters of a provider's name.
pub const PROVIDER_NAME_LEN_MAX: usize = 80;
/// Characters of what a provider says about itself.
pub const ABOUT_LEN_MAX: usize = 1_000;
/// Characters of a stored blob's file name.
pub const FILENAME_LEN_MAX: usize = 255;
/// Characters of an error code.
pub const ERROR_CODE_LEN_MAX: usize = 64;
/// Characters of a status message.
pub const STATUS_TEXT_LEN_MAX: usize = 500;
/// Content of a request that is read: a blob of `BLOB_LEN_MAX` in base64, and room for the other fields.
pub const REQUEST_LEN_MAX: usize = 14 * 1024 * 1024;
/// Providers that one discovery takes in.
pub const DIRECTORY_COUNT_MAX: usize = 1_000;
/// How far a change's `created_at` may be from the provider's clock (invariant I11).
pub const CHANGE_AGE_MAX: Duration = Duration::from_secs(120);

/// Shards of a pack: Reed-Solomon over GF(2^8) has no more (docs/format.md, "Packs").
pub const SHARD_COUNT_MAX: u8 = 255;
/// Largest shard, and the largest size class (docs/format.md, "Packs").
pub const SHARD_LEN_MAX: u32 = 512 * 1024;
/// Smallest shard, and the smallest size class (docs/format.md, "Packs").
pub const SHARD_LEN_MIN: u32 = 4 * 1024;
/// Largest pack before coding (docs/format.md, "Packs").
pub const PACK_LEN_MAX: u32 = 8 * 1024 * 1024;
/// Smallest segment that is not the last of its file (docs/format.md, "Segments").
pub const SEGMENT_LEN_MIN: u32 = 256 * 1024;
/// Aim of the segment cutter (docs/format.md, "Segments").
pub const SEGMENT_LEN_AVG: u32 = 1024 * 1024;
/// Largest segment (docs/format.md, "Segments").
pub const SEGMENT_LEN_MAX: u32 = 4 * 1024 * 1024;

/// Bytes of a manifest record's items before compression (docs/format.md, "Records").
pub const RECORD_BODY_LEN_MAX: usize = 1024 * 1024;
/// Devices whose chains one device continues (docs/format.md, "Device").
pub const CONTINUES_COUNT_MAX: usize = 256;
/// Promises in one item (docs/format.md, "Promises").
pub const PROMISE_COUNT_MAX: usize = 32_768;
/// Packs in one item that says what a snapshot needs (docs/format.md, "Needs").
pub const NEED_COUNT_MAX: usize = 32_768;
/// Packs in either list of an item that says how needs differ (docs/format.md, "NeedsAfter").
pub const NEED_CHANGE_COUNT_MAX: usize = 16_384;
/// Snapshots of which each is told by the one before (docs/format.md, "NeedsAfter").
pub const NEEDS_DEPTH_MAX: usize = 256;
/// Snapshots in one item that removes them, or releases them from a pack (docs/format.md, "Condemn", "Release").
pub const CONDEMNED_SNAPSHOT_COUNT_MAX: usize = 16_384;
/// How long the blobs of a condemned pack, and blobs that nothing names, stay at their providers (invariant I12).
pub const CONDEMNED_GRACE: Duration = Duration::from_secs(7 * 86_400);
/// How long packs that a put has stored for a snapshot that it did not come to make wait for the put that goes on.
pub const UNFINISHED_KEEP: Duration = Duration::from_secs(3 * 86_400);
/// Blobs that a home knows to have sent and not recorded.
pub const UNFINISHED_COUNT_MAX: usize = 16_384;
/// Bytes of the journal of what is sent.
pub const UNFINISHED_LEN_MAX: u64 = 16 * 1024 * 1024;
/// After so long what was sent and not recorded is left to the search for orphans.
pub const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60 * 86_400);
/// How long a head, and the manifest packs that it names, stay after a newer one took its place.
pub const SUPERSEDED_HEAD_KEEP: Duration = Duration::from_secs(30 * 86_400);
/// Pieces that a sealed segment lies in (docs/format.md, "Segment").
pub const PIECE_COUNT_MAX: usize = 1_024;
/// Tags named directly (docs/format.md, "Refs").
pub const DIRECT_TAG_COUNT_MAX: usize = 1_024;
/// Reference lists of one file or folder (docs/format.md, "Refs").
pub const LIST_TAG_COUNT_MAX: usize = 1_024;
/// Tags in one reference list (docs/format.md, "RefList").
pub const REF_COUNT_MAX: usize = 16_384;
/// Entries of one tree page (docs/format.md, "TreePage").
pub const PAGE_ENTRY_COUNT_MAX: usize = 4_096;
/// Bytes of one tree page's entries (docs/format.md, "TreePage").
pub const PAGE_LEN_MAX: usize = 512 * 1024;
/// Bytes of a file name (docs/format.md, "Entry").
pub const NAME_LEN_MAX: usize = 1_024;
/// Bytes of a path or of a symbolic link's target (docs/format.md, "Entry").
pub const PATH_LEN_MAX: usize = 4_096;
/// Bytes of a user's, group's, host's, snapshot's name or label (docs/format.md, "Entry", "Snapshot").
pub const LABEL_LEN_MAX: usize = 255;
/// Extended attributes of one file (docs/format.md, "Entry").
pub const XATTR_COUNT_MAX: usize = 256;
/// Bytes of one extended attribute's value (docs/format.md, "Entry").
pub const XATTR_LEN_MAX: usize = 65_536;
/// Holes of one file (docs/format.md, "Entry").
pub const HOLE_COUNT_MAX: usize = 8_192;
/// Labels of a snapshot (docs/format.md, "Snapshot").
pub const SNAPSHOT_LABEL_COUNT_MAX: usize = 64;
/// Paths that a snapshot was made of (docs/format.md, "Snapshot").
pub const SNAPSHOT_PATH_COUNT_MAX: usize = 128;
/// Lengths of a sealed head; each is padded to the next one (docs/format.md, "Head").
pub const HEAD_LEN_CLASSES: [usize; 5] = [4_096, 8_192, 16_384, 32_768, 43_008];
/// Manifest packs that a head names (docs/format.md, "Head").
pub const HEAD_RUN_COUNT_MAX: usize = 64;
/// Providers that one head, or one index of a run, names (docs/format.md, "Head").
pub const PROVIDER_COUNT_MAX: usize = 255;
/// Relays that a head names (docs/format.md, "Head").
pub const HEAD_RELAY_COUNT_MAX: usize = 32;
/// Bytes of a relay's URL (docs/format.md, "Head").
pub const RELAY_URL_LEN_MAX: usize = 255;
/// Other devices that a head speaks of (docs/format.md, "Head").
pub const HEAD_OTHER_COUNT_MAX: usize = 256;
/// Packs that the index of one run names (docs/format.md, "Runs").
pub const RUN_PACK_COUNT_MAX: usize = 16_384;

/// The provider's quota counts a blob as whole blocks of this many bytes, as disks do.
pub const STORE_BLOCK_LEN: u64 = 4 * 1024;
/// What one claim counts of the provider's quota: about the log that it takes.
pub const STORE_CLAIM_COST: u64 = 512;
/// Claims that a provider keeps, because it holds them in memory.
pub const STORE_CLAIM_COUNT_MAX: usize = 1_000_000;
/// Dropped claims that a provider remembers while an event from before can be replayed (invariant I11).
pub const STORE_DROPPED_COUNT_MAX: usize = 100_000;
/// Changes to claims that wait for the disk; more are refused until it keeps up.
pub const STORE_QUEUE_COUNT_MAX: usize = 65_536;
/// Bytes of shards that a put has on their way at a time, all providers together; bounds its memory.
pub const UPLOAD_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// Bytes of packs that a get has on their way at a time; bounds its memory.
pub const DOWNLOAD_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// Providers that a vault remembers.
pub const KNOWN_PROVIDER_COUNT_MAX: usize = 1_024;
/// Bytes of a vault's settings before sealing.
pub const SETTINGS_LEN_MAX: u64 = 1024 * 1024;
/// Bytes of what a home remembers of its vault's health, before sealing.
pub const CARE_LEN_MAX: u64 = 8 * 1024 * 1024;
/// Shards that a home remembers as to be healed.
pub const BLEMISH_COUNT_MAX: usize = 20_000;
/// Verify devices of one vault that are not revoked (docs/format.md, "Grant").
pub const VERIFY_DEVICE_COUNT_MAX: usize = 64;
/// Bytes of a verify device's chain: whoever holds a capability may lengthen it, and nobody else has a say.
pub const VERIFY_CHAIN_LEN_MAX: u64 = 256 * 1024 * 1024;
/// Files whose state a home remembers; beyond it all are read once more.
pub const SEEN_FILE_COUNT_MAX: u64 = 20_000_000;
/// Devices of one vault, past ones included.
pub const CHAIN_COUNT_MAX: usize = CONTINUES_COUNT_MAX;
/// Claims that a recovery reads of one provider's list.
pub const LISTED_COUNT_MAX: usize = 1_000_000;
/// Blobs of a head's lengths that a recovery tries at one provider.
pub const HEAD_TRIAL_COUNT_MAX: usize = 1_024;

/// Bytes of all blobs that clients are uploading to a provider in chunks.
pub const UPLOADS_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Uploads in chunks at once.
pub const UPLOAD_COUNT_MAX: usize = 1_024;
/// Bytes of the blobs that one client is uploading in chunks.
pub const CLIENT_UPLOADS_LEN_MAX: u64 = 24 * 1024 * 1024;
/// Uploads in chunks of one client at once.
pub const CLIENT_UPLOAD_COUNT_MAX: usize = 256;
/// An upload that receives nothing for so long is dropped.
pub const UPLOAD_REST_MAX: Duration = Duration::from_secs(60);
/// An upload that is not complete after so long is dropped.
pub const UPLOAD_AGE_MAX: Duration = Duration::from_secs(600);
/// Requests that a provider works on at once.
pub const JOB_COUNT_MAX: usize = 512;
/// Requests of one client that a provider works on at once.
pub const CLIENT_JOB_COUNT_MAX: usize = 128;
/// Content of all requests that a provider works on at once.
pub const JOBS_LEN_MAX: usize = 48 * 1024 * 1024;
/// Bytes of blobs that a provider holds in memory to send them.
pub const READ_LEN_MAX: u64 = 32 * 1024 * 1024;
/// How long a request waits for room among them before it is told to come later.
pub const HOLD_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of blobs that one request makes a provider send.
pub const SEND_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Errors and small answers that wait for a slow relay; more are not sent, and their requests come again.
pub const REPLY_QUEUE_COUNT_MAX: usize = 1_024;
/// Answers to deletes that a provider remembers, so that a repeated one is not told that nothing is there.
pub const REMEMBERED_ANSWER_COUNT_MAX: usize = 1_024;

/// Endpoints of the direct path that are read from one announcement.
pub const ENDPOINT_COUNT_MAX: usize = 8;
/// Of these, endpoints that a client dials of a provider that its user has neither named nor trusted.
pub const STRANGER_ENDPOINT_COUNT_MAX: usize = 2;
/// Bytes of one message of the direct path: a blob of `BLOB_LEN_MAX`, and what stands before it.
pub const DIRECT_MESSAGE_LEN_MAX: usize = 10_485_760 + 1024;
/// Bytes of a text in one message of the direct path (docs/protocol.md, "Direct path").
pub const DIRECT_TEXT_LEN_MAX: usize = 128 * 1024;
/// Clients that are connected to a provider's endpoints at once, unless told otherwise.
pub const DIRECT_CONNECTION_COUNT_MAX: usize = 50;
/// Connections of one key to a provider's endpoints.
pub const DIRECT_KEY_CONNECTION_COUNT_MAX: usize = 4;
/// A connection over which nothing was under way for so long makes room for another where places are few.
pub const DIRECT_REST_MIN: Duration = Duration::from_secs(10);
/// Bytes of messages that a provider's endpoints take in at once.
pub const DIRECT_INTAKE_LEN_MAX: usize = 32 * 1024 * 1024;
/// Bytes of these from one address.
pub const DIRECT_ADDRESS_INTAKE_LEN_MAX: usize = DIRECT_INTAKE_LEN_MAX / 2;
/// How long a blob waits for room among them before its sender is told to come later.
pub const DIRECT_ROOM_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of blobs that a provider holds in memory until they are written to connections of the direct path. Relays have
/// room of their own, so that whoever reads slowly here is not waited for there.
pub const DIRECT_SEND_LEN_MAX: usize = 32 * 1024 * 1024;
/// Bytes of these for one client.
pub const DIRECT_CLIENT_SEND_LEN_MAX: usize = DIRECT_SEND_LEN_MAX / 2;
/// Messages that wait to be written to one connection of the direct path; whoever sends more waits.
pub const DIRECT_QUEUE_COUNT_MAX: usize = 16;
/// Bytes of blobs that a client takes in at once over all of its connections.
pub const DIRECT_FETCH_LEN_MAX: usize = 32 * 1024 * 1024;
/// Blobs on one connection that were asked for and that nobody waits for any more, of which is known that they may come.
pub const DIRECT_LEFT_COUNT_MAX: usize = 1_024;
/// How long a handshake of the direct path may take.
pub const DIRECT_HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long the other side of the direct path may take for one record, once a message has begun.
pub const DIRECT_STALL_MAX: Duration = Duration::from_secs(20);
/// Bytes a second at which a message of several records has to come in, after the first `DIRECT_STALL_MAX`.
pub const DIRECT_RATE_MIN: usize = 32 * 1024;
/// How long a connection of the direct path may rest before the provider closes it.
pub const DIRECT_IDLE_MAX: Duration = Duration::from_secs(120);

/// Bytes of a header `Authorization` that is read (BUD-11).
pub const BLOSSOM_TOKEN_LEN_MAX: usize = 16 * 1024;
/// Bytes of the head of one Blossom request, or answer.
pub const BLOSSOM_HEAD_LEN_MAX: usize = 32 * 1024;
/// Bytes of an answer that describes a blob (BUD-02).
pub const BLOSSOM_ANSWER_LEN_MAX: usize = 16 * 1024;
/// Clients that are connected to a provider's Blossom server at once; more wait to be accepted.
pub const BLOSSOM_CONNECTION_COUNT_MAX: usize = 64;
/// Bytes of blobs that a provider's Blossom server takes in, or holds to send them, at once; whoever is too many waits.
pub const BLOSSOM_ROOM_LEN_MAX: usize = 32 * 1024 * 1024;
/// A connection to a Blossom server that neither finishes a request nor moves `BLOSSOM_MOVE_MIN` in such a time is ended.
pub const BLOSSOM_STALL_MAX: Duration = Duration::from_secs(20);
/// Bytes that have to move in `BLOSSOM_STALL_MAX`.
pub const BLOSSOM_MOVE_MIN: u64 = 640 * 1024;
