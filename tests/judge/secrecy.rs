//! Nothing of what is backed up crosses the relay or lies at a provider, and whoever looks for it would find it.

use std::fs;
use std::path::{Path, PathBuf};

use blobdvm::env::Env;
use blobdvm::erasure::Scheme;
use blobdvm::format::codec::{Encoding, Writer};
use blobdvm::format::{Entry, EntryKind, PackBuilder, TreePage, compress};
use blobdvm::types::Tag;

use crate::detector::{Detector, Marker};
use crate::raw::{Client, Keys, Proxy, Rule};
use crate::support::{World, files, noise, stderr, text};

/// Bytes between two markers in a file.
const STEP: usize = 2_048;

/// A folder full of markers.
struct Secrets {
    folder: PathBuf,
    files: Vec<PathBuf>,
    snapshot: String,
    contents: Vec<Marker>,
    names: Vec<Marker>,
}

impl Secrets {
    fn plant(world: &World) -> Self {
        let mut secrets = Self {
            folder: PathBuf::new(),
            files: Vec::new(),
            snapshot: String::new(),
            contents: Vec::new(),
            names: Vec::new(),
        };
        secrets.snapshot = secrets.name("the snapshot's name");
        let (outer, inner) =
            (secrets.name("the outer folder's name"), secrets.name("the inner folder's name"));
        secrets.folder = world.path(&outer);
        let lens = [100, 5_000, 60_000, 300_000, 1_500_000];
        for (index, len) in lens.into_iter().enumerate() {
            let name = secrets.name(&format!("the name of file {index}"));
            let path = secrets.folder.join(if index % 2 == 0 { &inner } else { "" }).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = secrets.contents(index, len);
            fs::write(&path, bytes).unwrap();
            secrets.files.push(path);
        }
        secrets
    }

    fn name(&mut self, what: &str) -> String {
        let name = hex::encode(noise(16, 1_000 + self.names.len() as u64));
        self.names.push(Marker { what: what.to_owned(), bytes: name.clone().into_bytes() });
        name
    }

    /// Noise with a marker in every step. The last file is text around the markers, which compresses.
    fn contents(&mut self, index: usize, len: usize) -> Vec<u8> {
        let mut bytes =
            if index == 4 { b"a line of text\n".repeat(len / 15) } else { noise(len, index as u64) };
        for at in (37..len - 63).step_by(STEP) {
            let marker = noise(24, 1_000_000 * (1 + index as u64) + at as u64);
            bytes[at..at + 24].copy_from_slice(&marker);
            self.contents.push(Marker { what: format!("file {index} at {at}"), bytes: marker });
        }
        bytes
    }

    fn assert_restored(&self, folder: &Path) {
        let restored = files(folder);
        assert_eq!(restored.len(), self.files.len(), "{restored:?}");
        for file in &self.files {
            let name = file.file_name().unwrap();
            let twin = restored.iter().find(|path| path.file_name() == Some(name)).expect("it was restored");
            assert!(fs::read(twin).unwrap() == fs::read(file).unwrap(), "{}", twin.display());
        }
    }
}

/// A relay and three providers, with a recording proxy between the relay and everybody.
async fn recorded_world() -> (World, Proxy) {
    let mut world = World::start(0);
    let proxy = Proxy::start(&world.relay, Rule::Record).await;
    world.relay.clone_from(&proxy.url);
    for _ in 0..3 {
        world.add_provider(&[]);
    }
    (world, proxy)
}

fn examine_tape(proxy: &Proxy, detector: &mut Detector) {
    let tape = proxy.tape();
    assert!(tape.len() > 100, "everything crosses the proxy: {} messages", tape.len());
    for message in tape {
        detector.examine(message.as_str().as_bytes(), "the relay's traffic");
    }
}

fn examine_stores(world: &World, detector: &mut Detector) {
    let relay = world.path("relay");
    let stores = world.providers.iter().map(|provider| &provider.store).chain([&relay]);
    for store in stores {
        let kept = files(store);
        assert!(!kept.is_empty(), "{} is where things are kept", store.display());
        examine_files(&kept, detector);
    }
}

fn examine_files(paths: &[PathBuf], detector: &mut Detector) {
    for path in paths {
        let place = path.display().to_string();
        detector.examine(place.as_bytes(), &place);
        detector.examine(&fs::read(path).unwrap(), &place);
    }
}

/// The secret key as bytes (so also in digits and base64) and as people write it.
fn key_markers(keys: &Keys) -> Vec<Marker> {
    let nsec = bech32("nsec", &keys.secret());
    vec![
        Marker { what: "the secret key".into(), bytes: keys.secret().to_vec() },
        Marker { what: "the secret key as nsec".into(), bytes: nsec.into_bytes() },
    ]
}

/// The host's name, where it is long enough not to be found by chance.
fn host_marker() -> Option<Marker> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    if name.len() < 12 {
        eprintln!("skipped: the host's name {name:?} is too short to be looked for");
        return None;
    }
    Some(Marker { what: "the host's name".into(), bytes: name.into_bytes() })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_backed_up_is_revealed_by_put_get_or_recover() {
    let (world, proxy) = recorded_world().await;
    let secrets = Secrets::plant(&world);
    let keys = Keys::generate();
    let key_file = world.path("key");
    fs::write(&key_file, hex::encode(keys.secret())).unwrap();
    let run_in = |home: &str, args: &[&str]| {
        let output = world.run_in(home, args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    run_in("home", &["init", "--import", text(&key_file)]);
    let folder = text(&secrets.folder);
    run_in("home", &["put", "--encrypt", "--spread", "3", "--name", &secrets.snapshot, folder]);
    let (first, second) = (world.path("first"), world.path("second"));
    run_in("home", &["get", &secrets.snapshot, "-o", text(&first)]);
    run_in("new home", &["recover", "--key-file", text(&key_file)]);
    run_in("new home", &["get", &secrets.snapshot, "-o", text(&second)]);
    secrets.assert_restored(&first);
    secrets.assert_restored(&second);
    let markers = [secrets.contents, secrets.names, key_markers(&keys), host_marker().into_iter().collect()];
    let markers = markers.concat();
    let mut detector = Detector::new(markers.clone());
    examine_tape(&proxy, &mut detector);
    examine_stores(&world, &mut detector);
    assert!(detector.found.is_empty(), "{:#?}", detector.found);
    // On the owner's own disk the key file is the one thing that is not sealed.
    let mut detector = Detector::new(markers);
    for home in ["home", "new home"] {
        let mut kept = files(&world.path(home));
        let before = kept.len();
        kept.retain(|path| {
            !fs::read(path).unwrap().windows(64).any(|part| part == hex::encode(keys.secret()).as_bytes())
        });
        assert!(before - kept.len() <= 1, "the key is in more files than one");
        examine_files(&kept, &mut detector);
    }
    detector.found.retain(|what, _| !what.starts_with("the secret key"));
    assert!(detector.found.is_empty(), "unsealed in the home: {:#?}", detector.found);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_files_are_found_when_they_are_uploaded_unsealed() {
    let (world, proxy) = recorded_world().await;
    let secrets = Secrets::plant(&world);
    for (index, file) in secrets.files.iter().enumerate() {
        let server = &world.providers[index % 3].id;
        let output = world.run(&["upload", text(file), "--server", server]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let mut at_providers = Detector::new(secrets.contents.clone());
    examine_stores(&world, &mut at_providers);
    assert!(at_providers.missed().is_empty(), "not found: {:?}", at_providers.missed());
    // In the traffic, a marker may be cut in two by the end of a chunk.
    let (mut on_the_way, count) = (Detector::new(secrets.contents.clone()), secrets.contents.len());
    examine_tape(&proxy, &mut on_the_way);
    assert!(on_the_way.found.len() * 100 >= count * 95, "{} of {count}", on_the_way.found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_files_are_found_when_their_packs_are_made_of_unsealed_segments() {
    let (world, proxy) = recorded_world().await;
    let secrets = Secrets::plant(&world);
    let mut rng = Env::system().rng();
    let mut builder = PackBuilder::new(Scheme::for_spread(3).unwrap());
    let mut packs = Vec::new();
    let names = secrets.names.iter().map(|marker| marker.bytes.clone()).collect();
    let plain = secrets.files.iter().map(|file| fs::read(file).unwrap()).chain([page(names)]);
    for segment in plain {
        packs.extend(builder.push(&compress::pack(&segment, 0), &mut rng).filled);
    }
    packs.extend(builder.close(&mut rng));
    for pack in packs {
        for (shard, provider) in pack.encode().shards.iter().zip(&world.providers) {
            Client::connect(&world.relay, &provider.id).await.store(shard).await.unwrap();
        }
    }
    let markers = [secrets.contents, secrets.names].concat();
    let count = markers.len();
    for place in ["stores", "tape"] {
        let mut detector = Detector::new(markers.clone());
        if place == "tape" {
            examine_tape(&proxy, &mut detector);
        } else {
            examine_stores(&world, &mut detector);
        }
        let names = markers.iter().filter(|marker| marker.what.starts_with("the "));
        let unknown: Vec<_> = names.filter(|name| !detector.found.contains_key(&name.what)).collect();
        assert!(unknown.is_empty(), "not found in {place}: {unknown:?}");
        assert!(detector.found.len() * 100 >= count * 95, "{place}: {} of {count}", detector.found.len());
    }
}

/// A folder's page as the manifest has it, before it is sealed.
fn page(names: Vec<Vec<u8>>) -> Vec<u8> {
    let mut entries: Vec<Entry> = names
        .into_iter()
        .map(|name| Entry {
            name,
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            mtime: 0,
            mtime_nanos: 0,
            xattrs: Vec::new(),
            link_group: 0,
            kind: EntryKind::Fifo,
        })
        .collect();
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    let mut encoding = Writer::new();
    TreePage { tag: Tag::new([0; 32]), entries }.write(&mut encoding).unwrap();
    encoding.into_bytes()
}

/// BIP-173: how NIP-19 writes keys.
fn bech32(prefix: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |group: &[u8]| group.iter().chain([0; 5].iter()).take(5).fold(0, |sum, bit| sum << 1 | bit);
    let mut data: Vec<u8> = bits.chunks(5).map(number).collect();
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let spread: Vec<u8> = high.chain([0]).chain(low).chain(data.iter().copied()).chain([0; 6]).collect();
    let checksum = spread.into_iter().fold(1_u32, |sum, value| {
        let terms = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        terms
            .iter()
            .enumerate()
            .filter(|(bit, _)| sum >> (25 + bit) & 1 == 1)
            .fold(shifted, |sum, (_, term)| sum ^ term)
    }) ^ 1;
    data.extend((0..6).map(|index| (checksum >> (5 * (5 - index)) & 31) as u8));
    let digits = data.iter().map(|&digit| char::from(DIGITS[usize::from(digit)]));
    format!("{prefix}1{}", digits.collect::<String>())
}

#[test]
fn keys_are_written_as_nip_19_says() {
    let secret = hex::decode("67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa").unwrap();
    let written = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
    assert_eq!(bech32("nsec", &secret), written);
}
