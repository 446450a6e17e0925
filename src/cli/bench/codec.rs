//! How fast one core does each step between a file and its shards, and the whole way there and back.
//!
//! Each figure is the best of several rounds: of the time that the thread was on a core, where the system tells it
//! (Linux), so that a busy machine matters little.

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore;

use crate::cli::bench::cpu::of_thread;
use crate::cli::bench::report::Stage;
use crate::crypt::tag::segment_tag;
use crate::crypt::{SegmentKey, TagKey, open_segment, seal_segment};
use crate::env::{Env, EnvRng};
use crate::erasure::{Codec, Scheme};
use crate::format::{Cutter, EncodedPack, PackBuilder, VerifiedShard, compress, segment};
use crate::transport::direct::RecordPair;
use crate::types::{BlobHash, ShardIndex, merkle_root};
use crate::wire::DirectMessage;
use crate::wire::direct::{DirectCipher, DirectId};

/// Plaintext of one round.
const LEN: usize = 64 << 20;
const LEN_QUICK: usize = 2 << 20;
/// One segment, as most are.
const SEGMENT: usize = 1 << 20;
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 2;
/// What texts of the bench consist of.
const WORDS: [&str; 12] = [
    "all ",
    "this ",
    "happened, ",
    "more ",
    "or ",
    "less. ",
    "the ",
    "war ",
    "parts, ",
    "anyway, ",
    "are ",
    "true.\n",
];

/// What is measured with.
struct Bench {
    scheme: Scheme,
    rounds: usize,
    env: Env,
    stages: Vec<Stage>,
}

/// Measures every stage on this thread.
pub fn measure(scheme: Scheme, is_quick: bool, env: &Env) -> Vec<Stage> {
    let (len, rounds) = if is_quick { (LEN_QUICK, ROUNDS_QUICK) } else { (LEN, ROUNDS) };
    measure_with(scheme, len, rounds, env)
}

fn measure_with(scheme: Scheme, len: usize, rounds: usize, env: &Env) -> Vec<Stage> {
    let mut random = vec![0; len];
    env.rng().fill_bytes(&mut random);
    let mut bench = Bench { scheme, rounds, env: env.clone(), stages: Vec::new() };
    bench.plain_stages(&random);
    bench.shard_stages(&random);
    let ciphers = [
        (
            DirectCipher::ChaCha20Poly1305,
            ["records of ChaCha20-Poly1305, sealed", "records of ChaCha20-Poly1305, opened"],
        ),
        (DirectCipher::Aes256Gcm, ["records of AES-256-GCM, sealed", "records of AES-256-GCM, opened"]),
    ];
    for (cipher, names) in ciphers {
        bench.records(cipher, names, &random);
    }
    bench.whole(["segments to shards", "shards to segments"], &random);
    let words = random.iter().flat_map(|byte| WORDS[usize::from(*byte) % WORDS.len()].bytes());
    let text: Vec<u8> = words.take(len).collect();
    bench.whole(["segments to shards, of text", "shards to segments, of text"], &text);
    bench.stages
}

impl Bench {
    /// What is done with plaintext.
    fn plain_stages(&mut self, data: &[u8]) {
        let cutter = Cutter::new(7);
        self.stage("cutting", data.len(), || all_segments(data, &cutter));
        let key = TagKey::new([1; 32]);
        self.stage("tags", data.len(), || each_segment(data, |part| segment_tag(part, &key)));
        self.stage("compression, refused", data.len(), || {
            each_segment(data, |part| compress::pack(part, 16));
        });
        let mut rng = self.env.rng();
        self.stage("sealing", data.len(), || {
            each_segment(data, |part| seal_segment(part.to_vec(), &mut rng));
        });
    }

    /// What is done with shards: of as many bytes as `need` of them have together.
    fn shard_stages(&mut self, data: &[u8]) {
        let (need, total) = (usize::from(self.scheme.need()), usize::from(self.scheme.total()));
        let shard_len = SEGMENT / need;
        let codec = Codec::new(self.scheme);
        let part_len = shard_len * need;
        let whole_parts = |data: &[u8]| data.len() / part_len * part_len;
        let (data, len) = (&data[..whole_parts(data)], whole_parts(data));
        let each = |work: &mut dyn FnMut(&[u8])| data.chunks_exact(part_len).for_each(work);
        if total > need && need > 1 {
            self.stage("erasure coding", len, || each(&mut |part| drop(black_box(codec.encode(part)))));
        }
        // Every shard is hashed, parity as well; which bytes it has does not matter for that.
        let shards = |part: &[u8], work: fn(&[&[u8]])| {
            let begins = (0..total).map(|index| index % need * shard_len);
            work(&begins.map(|from| &part[from..from + shard_len]).collect::<Vec<_>>());
        };
        self.stage("SHA-256 of all shards", len, || {
            each(&mut |part| shards(part, |all| drop(black_box(BlobHash::of_each(all)))));
        });
        let roots = |all: &[&[u8]]| {
            for shard in all {
                black_box(merkle_root(shard));
            }
        };
        self.stage("Merkle roots of all shards", len, || each(&mut |part| shards(part, roots)));
    }

    /// What the direct path does with blobs: records under the connection's keys (Noise), sealed and opened.
    fn records(&mut self, cipher: DirectCipher, names: [&'static str; 2], data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        let mut pair = RecordPair::agree(cipher, &self.env).expect("it shakes hands with itself");
        let messages = || {
            (0..data.len() / SEGMENT).map(|index| DirectMessage::Response {
                id: DirectId(0),
                hash: BlobHash::new([0; 32]),
                data: data.slice(index * SEGMENT..(index + 1) * SEGMENT),
            })
        };
        let (mut sealed, mut sealing, mut opening) = (Vec::new(), Duration::MAX, Duration::MAX);
        for _ in 0..self.rounds {
            let start = of_thread();
            sealed.clear();
            sealed.extend(messages().map(|message| pair.seal(message).expect("a message may be so long")));
            sealing = sealing.min(of_thread().saturating_sub(start));
            let start = of_thread();
            for records in &sealed {
                black_box(pair.open(records).expect("they were sealed next"));
            }
            opening = opening.min(of_thread().saturating_sub(start));
        }
        self.push(names[0], data.len(), sealing);
        self.push(names[1], data.len(), opening);
    }

    /// All of it but the cutting, and back.
    fn whole(&mut self, names: [&'static str; 2], data: &[u8]) {
        let (scheme, mut packs) = (self.scheme, Vec::new());
        let mut rng = self.env.rng();
        self.stage(names[0], data.len(), || packs = store(data, scheme, &mut rng));
        self.stage(names[1], data.len(), || restore(&packs, 0..scheme.need()));
        let parity = scheme.total() - scheme.need();
        if parity > 0 && names[0] == "segments to shards" {
            let last = 1..scheme.need() + 1;
            self.stage("shards to segments, one data shard lost", data.len(), || {
                restore(&packs, last.clone());
            });
        }
    }

    fn stage(&mut self, name: &'static str, len: usize, mut work: impl FnMut()) {
        let time = |work: &mut dyn FnMut()| {
            let start = of_thread();
            work();
            of_thread().saturating_sub(start)
        };
        let best = (0..self.rounds).map(|_| time(&mut work)).min().unwrap_or(Duration::MAX);
        self.push(name, len, best);
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn push(&mut self, stage: &'static str, len: usize, time: Duration) {
        let gb_s = len as f64 / time.as_secs_f64().max(1e-9) / 1e9;
        self.stages.push(Stage { stage, gb_s: (gb_s * 1e3).round() / 1e3 });
    }
}

/// Keys and lengths of the segments, and the packs that they ended in.
type Stored = (Vec<(SegmentKey, usize)>, EncodedPack);

fn store(data: &[u8], scheme: Scheme, rng: &mut EnvRng) -> Vec<Stored> {
    let mut builder = PackBuilder::new(scheme);
    let (mut stored, mut segments) = (Vec::new(), Vec::new());
    let capacity = usize::try_from(scheme.pack_capacity()).unwrap_or(usize::MAX);
    // Sealed, a segment fits a pack of its own.
    for part in data.chunks(SEGMENT.min(capacity) - 64) {
        let sealed = segment::seal(part, rng);
        if builder.open_len() + sealed.bytes.len() > capacity
            && let Some(pack) = builder.close(rng)
        {
            stored.push((std::mem::take(&mut segments), pack.encode()));
        }
        builder.push(&sealed.bytes, rng);
        segments.push((sealed.key, sealed.bytes.len()));
    }
    stored.extend(builder.close(rng).map(|pack| (segments, pack.encode())));
    stored
}

fn restore(packs: &[Stored], shards: Range<u8>) {
    for (segments, EncodedPack { pack, shards: blobs }) in packs {
        let verify = |i: u8| pack.coding.verify(ShardIndex(i), blobs[usize::from(i)].clone());
        let found: Vec<VerifiedShard> =
            shards.clone().map(|i| verify(i).expect("the blob is what was just made")).collect();
        let sealed = pack.coding.decode(&found).expect("as many shards as are enough");
        let mut begin = 0;
        for (key, len) in segments {
            let opened = open_segment(key, sealed[begin..begin + len].to_vec());
            let opened = opened.expect("it was sealed under this key");
            black_box(compress::unpack(&opened, SEGMENT, "a segment").expect("it was just packed"));
            begin += len;
        }
    }
}

fn all_segments(data: &[u8], cutter: &Cutter) {
    let mut rest = data;
    while let Some(len) = cutter.cut(rest) {
        rest = &rest[black_box(len)..];
    }
}

fn each_segment<T>(data: &[u8], mut work: impl FnMut(&[u8]) -> T) {
    for part in data.chunks(SEGMENT) {
        black_box(work(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_measured_for_every_kind_of_scheme() {
        for (need, total, stages) in [(1, 2, 15), (2, 3, 16), (2, 2, 14), (3, 5, 16)] {
            let scheme = Scheme::new(need, total).unwrap();
            let measured = measure_with(scheme, SEGMENT, 1, &Env::system());
            let names: Vec<_> = measured.iter().map(|stage| stage.stage).collect();
            assert_eq!(measured.len(), stages, "{need} of {total}: {names:?}");
            assert!(measured.iter().all(|stage| stage.gb_s > 0.0), "{measured:?}");
        }
    }
}
