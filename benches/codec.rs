//! How fast a core turns plaintext into shards and back, stage by stage: `cargo bench --bench codec`.
//!
//! Each figure is the best of several rounds over 64 MiB of plaintext, in GB/s of plaintext: of the time that the
//! thread was on a core, where the system tells it (Linux), so that a busy machine matters little.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use blobdvm::crypt::tag::segment_tag;
use blobdvm::crypt::{SegmentKey, TagKey, open_segment, seal_segment};
use blobdvm::erasure::{Codec, Scheme};
use blobdvm::format::{Cutter, EncodedPack, PackBuilder, VerifiedShard, compress, segment};
use blobdvm::types::{BlobHash, ShardIndex, merkle_root};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

const LEN: usize = 64 << 20;
const SEGMENT: usize = 1 << 20;
const ROUNDS: usize = 5;

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

fn main() {
    let scheme = Scheme::new(2, 3).expect("2 of 3 is a scheme");
    let mut random = vec![0; LEN];
    StdRng::seed_from_u64(1).fill_bytes(&mut random);
    let text: Vec<u8> =
        random.iter().flat_map(|byte| WORDS[usize::from(*byte) % WORDS.len()].bytes()).take(LEN).collect();

    println!("{LEN} bytes of plaintext, {scheme}");
    stages(&random, scheme);
    whole("incompressible", &random, scheme);
    whole("text", &text, scheme);
}

fn stages(data: &[u8], scheme: Scheme) {
    let cutter = Cutter::new(7);
    line("cut", best(|| all_segments(data, &cutter)));
    let key = TagKey::new([1; 32]);
    line("tag", best(|| each_segment(data, |part| segment_tag(part, &key))));
    line("compression (refused)", best(|| each_segment(data, |part| compress::pack(part, 16))));
    let mut rng = StdRng::seed_from_u64(2);
    line("seal", best(|| each_segment(data, |part| seal_segment(part.to_vec(), &mut rng))));
    let codec = Codec::new(scheme);
    let parity = codec.encode(&data[..SEGMENT]);
    line("parity", best(|| each_segment(data, |part| codec.encode(part))));
    let half = SEGMENT / 2;
    let rebuild = |part: &[u8]| codec.reconstruct(&[None, Some(&part[half..]), Some(&parity)]);
    line("reconstruction", best(|| each_segment(data, rebuild)));
    let half_more = |part: &[u8], work: fn(&[u8]) -> [u8; 32]| [work(part), work(&part[..half])];
    line(
        "SHA-256 of shards",
        best(|| each_segment(data, |part| half_more(part, |b| *BlobHash::of(b).as_bytes()))),
    );
    line("Merkle roots", best(|| each_segment(data, |part| half_more(part, |b| *merkle_root(b).as_bytes()))));
}

fn whole(name: &str, data: &[u8], scheme: Scheme) {
    let mut packs = Vec::new();
    line(&format!("{name}: segments to shards"), best(|| packs = store(data, scheme)));
    let stored: usize = packs.iter().flat_map(|(_, pack)| &pack.shards).map(bytes::Bytes::len).sum();
    line(&format!("{name}: shards to segments"), best(|| restore(&packs, 0..2)));
    line(&format!("{name}: the same, one data shard lost"), best(|| restore(&packs, 1..3)));
    println!("{name}: stored {stored} bytes");
}

/// Keys and lengths of the segments, and the packs that they ended in.
type Stored = (Vec<(SegmentKey, usize)>, EncodedPack);

fn store(data: &[u8], scheme: Scheme) -> Vec<Stored> {
    let mut rng = StdRng::seed_from_u64(3);
    let mut builder = PackBuilder::new(scheme);
    let (mut stored, mut segments) = (Vec::new(), Vec::new());
    for part in data.chunks(SEGMENT - 64) {
        let sealed = segment::seal(part, &mut rng);
        if builder.open_len() + sealed.bytes.len() > scheme.pack_capacity() as usize {
            let pack = builder.close(&mut rng).expect("a pack is open");
            stored.push((std::mem::take(&mut segments), pack.encode()));
        }
        builder.push(&sealed.bytes, &mut rng);
        segments.push((sealed.key, sealed.bytes.len()));
    }
    let pack = builder.close(&mut rng).expect("a pack is open");
    stored.push((segments, pack.encode()));
    stored
}

fn restore(packs: &[Stored], shards: std::ops::Range<u8>) {
    for (segments, EncodedPack { pack, shards: blobs }) in packs {
        let verify = |i: u8| pack.coding.verify(ShardIndex(i), blobs[usize::from(i)].clone());
        let found: Vec<VerifiedShard> =
            shards.clone().map(|i| verify(i).expect("the blob is right")).collect();
        let sealed = pack.coding.decode(&found).expect("two shards are enough");
        let mut begin = 0;
        for (key, len) in segments {
            let opened = open_segment(key, sealed[begin..begin + len].to_vec()).expect("the key is right");
            black_box(compress::unpack(&opened, SEGMENT, "a segment").expect("it was packed"));
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

fn best(mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let start = now();
        work();
        now().saturating_sub(start)
    };
    (0..ROUNDS).map(|_| time(&mut work)).min().expect("there is a round")
}

/// Time on a core so far; else, time since the first call.
fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let on_core = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_core = on_core.and_then(|stat| stat.split(' ').next()?.parse().ok().map(Duration::from_nanos));
    on_core.unwrap_or_else(|| START.get_or_init(instant).elapsed())
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn line(name: &str, time: Duration) {
    println!("{name:<42} {:>7.2} GB/s", LEN as f64 / time.as_secs_f64() / 1e9);
}
