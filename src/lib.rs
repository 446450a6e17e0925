//! blobdvm keeps private backups on storage providers that nobody has to trust.
//!
//! A file is cut into segments; every segment is sealed under a key of its own; sealed segments are laid end to end
//! in packs; a pack is erasure-coded into shards; shards are stored as plain blobs, named by their SHA-256, at
//! several providers that are found and reached through Nostr relays. Any k of the n providers bring it back.
//!
//! # Where things are
//!
//! | layer | what it knows | may import |
//! |---|---|---|
//! | [`types`] | ids, indexes, times, limits, Merkle trees: the words of the domain (pure) | nothing of ours |
//! | [`crypt`] | secrets, derivation, sealing, signatures, tags (pure) | types |
//! | [`erasure`] | k of n: scheme and codec (pure) | types |
//! | [`wire`] | one file for each event kind: announcement, request, response, chunk, status (pure) | types |
//! | [`mod@env`] | the clock and the random bytes | types |
//! | [`mod@format`] | segments, packs, trees, manifest records, heads (pure) | types crypt erasure |
//! | [`session`] | the protocol's conversations as state machines; `now` is an argument (pure) | types wire |
//! | [`transport`] | signed events over relays; connections of the direct path; the client's half of Blossom | types wire session env |
//! | [`store`] | a provider's durable blobs and claims | types env |
//! | [`relay`] | the embedded relay | types wire |
//! | [`vault`] | identity, manifest on disk, catalog | types crypt format env |
//! | [`provider`] | admission, retention, eviction, serving, announcing; the server's half of Blossom | types wire session env transport store |
//! | [`client`] | discovery, placement, put, get, recover | all above but relay, store and provider |
//! | [`testing`] | a whole network in one process, and faults for it | anything above |
//! | [`cli`] | one file for each command; output, progress, exit codes | anything above |
//!
//! Client and provider never import each other: the provider is plain, and cannot know what a blob means. The test
//! `tidy` reads the sources and fails where this table is not kept.
//!
//! # Glossary
//!
//! `file → segment → pack → shard → blob → chunk`
//!
//! | word | means |
//! |---|---|
//! | segment | content-defined piece of a file: the unit of deduplication, compression and encryption |
//! | sealed segment | a segment after ChaCha20-Poly1305 under its own key |
//! | pack | sealed segments end to end: the unit of erasure coding |
//! | shard | one of the n = k + m outputs for a pack |
//! | blob | opaque bytes that a provider keeps, named by their SHA-256 |
//! | chunk | the piece of a blob that travels in one event: 32 KiB, more where provider and relays take it |
//! | passage | how long chunks a relay passes, as was measured |
//! | manifest | signed, sealed, append-only record of what a vault has stored and where |
//! | catalog | local database derived from the manifest; can always be rebuilt |
//! | snapshot | a tree of files at one time |
//! | vault | identity, manifest and everything it names |
//! | head | the small sealed event that says where the manifest is |
//! | run | a stretch of one device's records, stored as a unit |
//! | placement, spread | which provider gets which shard; the number of distinct providers of a pack |
//! | claim | one key's right to a blob at a provider, with its own expiry |
//! | receipt | a provider's signed answer that a blob is durable |
//! | direct path, endpoint | one WebSocket between client and provider, without relays; where it is announced to begin |
//! | terms | what a provider announces: sizes, retention, extensions |
//! | full device, verify device | one that holds the vault's secret; one that holds a capability |
//! | capability | what lets a machine check, renew and repair, and read nothing: the placement key and a secret of its own |
//! | Blossom | blobs by their SHA-256 over HTTP: served beside the protocol, and compared with |
//! | pseudonym | the key that speaks to one provider for one vault |
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod crypt;
pub mod env;
pub mod erasure;
pub mod format;
pub mod provider;
pub mod relay;
pub mod session;
pub mod store;
pub mod testing;
pub mod transport;
pub mod types;
pub mod vault;
pub mod wire;
