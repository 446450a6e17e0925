//! Records, chains, heads and runs.

use proptest::prelude::*;

use super::sample::{Sample, bytes, device, keys, rng};
use crate::crypt::{DeviceClass, PublicKey, Purpose, SealedKind, Signature, seal_salted, sign};
use crate::erasure::Scheme;
use crate::format::codec::Reader;
use crate::format::runs::plan;
use crate::format::*;
use crate::types::limits::HEAD_LEN_CLASSES;
use crate::types::{DeviceId, ProviderId, ShardIndex, SnapshotId, Timestamp};

/// Seals one record with the items of one body after `place`.
fn seal<T: record::Item>(items: &[T], place: Place, seed: u64) -> Record {
    let keys = keys();
    let [body] = <[Body; 1]>::try_from(Body::of(items).unwrap()).unwrap();
    let layer_key = match body.layer() {
        crate::crypt::Layer::Content => keys.content_key(),
        _ => keys.placement_key(),
    };
    let signer = keys.device_keys(DeviceClass::Full, &place.device);
    Record::seal(&body, place, keys.vault_id(), &layer_key, &signer, &mut rng(seed))
}

fn first_record(id: u8) -> Record {
    let device = device(id);
    let place = Place { device: device.id, sequence: 0, previous: RecordHash::NONE };
    seal(&[PlacementItem::Device(device)], place, 1)
}

fn chain_keys() -> ChainKeys {
    ChainKeys::new(&keys())
}

/// What becomes of a chain of device 1 with this first record.
fn begin(record: &Record) -> Result<Chain, RecordFault> {
    let mut chain = Chain::new(DeviceId::new([1; 16]));
    chain.accept(record, &chain_keys())?;
    Ok(chain)
}

/// A chain of device 1 with `count` records, content and placement by turns.
pub(super) fn chain(count: u64) -> Vec<Record> {
    let mut records = vec![first_record(1)];
    let mut chain = begin(&records[0]).unwrap();
    for seed in 1..count {
        let mut sample = Sample::new(seed);
        let record = if seed % 2 == 0 {
            seal(&[sample.later_placement_item()], chain.next(), seed)
        } else {
            seal(&[sample.content_item(), sample.content_item()], chain.next(), seed)
        };
        chain.accept(&record, &chain_keys()).unwrap();
        records.push(record);
    }
    records
}

#[test]
fn records_end_to_end_are_read_one_by_one() {
    let records = chain(5);
    let bytes: Vec<u8> = records.iter().flat_map(|record| record.as_bytes().to_vec()).collect();
    let mut input = Reader::new(&bytes, "a chain");
    for record in &records {
        assert_eq!(Record::read(&mut input).unwrap(), *record);
    }
    assert_eq!(input.remaining(), 0);
}

#[test]
fn record_opens_with_its_layer_key_in_its_vault_only() {
    let keys = keys();
    let record = &chain(2)[1];
    assert_eq!(record.open::<ContentItem>(keys.vault_id(), &keys.content_key()).unwrap().len(), 2);
    assert!(record.open::<ContentItem>(keys.vault_id(), &keys.placement_key()).is_err());
    assert!(record.open::<PlacementItem>(keys.vault_id(), &keys.placement_key()).is_err());
    let other_vault = crate::types::VaultId::new([0; 16]);
    assert!(record.open::<ContentItem>(other_vault, &keys.content_key()).is_err());
}

#[test]
fn without_the_content_key_a_chain_is_checked_all_the_same_and_its_contents_stay_sealed() {
    let mut blind = chain_keys();
    blind.content = None;
    let records = chain(4);
    let mut chain = Chain::new(DeviceId::new([1; 16]));
    for record in &records {
        let items = chain.accept(record, &blind).unwrap();
        assert_eq!(matches!(items, Items::Sealed), record.layer() == crate::crypt::Layer::Content);
    }
    assert_eq!(chain.count(), 4);
    let mut begun = Chain::new(DeviceId::new([1; 16]));
    begun.accept(&records[0], &blind).unwrap();
    let mut bytes = records[1].as_bytes().to_vec();
    bytes[100] ^= 1;
    let changed = Record::decode(&bytes).unwrap();
    assert!(begun.accept(&changed, &blind).is_err(), "its signature does not hold");
    let fork =
        seal(&[Sample::new(9).content_item()], Place { previous: RecordHash([9; 32]), ..begun.next() }, 9);
    assert_eq!(begun.accept(&fork, &blind).err(), Some(RecordFault::BrokenLink));
}

#[test]
fn any_flipped_bit_of_a_record_is_noticed() {
    let record = &chain(2)[1];
    let key = device(1).key;
    assert_eq!(record.verify(&key), Ok(()));
    for at in 0..record.as_bytes().len() {
        let mut bytes = record.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = Record::decode(&bytes);
        assert!(changed.is_err() || changed.unwrap().verify(&key).is_err(), "byte {at}");
    }
}

#[test]
fn record_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let record = &chain(2)[1];
    for len in 0..record.as_bytes().len() {
        assert!(
            matches!(Record::decode(&record.as_bytes()[..len]), Err(FormatError::Truncated { .. })),
            "{len}"
        );
    }
    let longer = [record.as_bytes(), &[0]].concat();
    assert_eq!(Record::decode(&longer), Err(FormatError::TrailingBytes { what: "a record", len: 1 }));
}

#[test]
fn newer_record_says_that_a_newer_program_is_needed() {
    let mut bytes = chain(1)[0].as_bytes().to_vec();
    bytes[0] = 2;
    let error = Record::decode(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record has version 2, this program knows version 1: a newer blobdvm is needed"
    );
}

#[test]
fn chain_notices_a_gap_a_repetition_a_fork_and_a_stranger() {
    let records = chain(4);
    let mut begun = begin(&records[0]).unwrap();
    let before = begun.next();
    let fault = |chain: &mut Chain, record| chain.accept(record, &chain_keys()).err();
    assert_eq!(fault(&mut begun, &records[2]), Some(RecordFault::WrongSequence { found: 2 }));
    assert_eq!(fault(&mut begun, &records[0]), Some(RecordFault::WrongSequence { found: 0 }));
    assert_eq!(begun.next(), before);
    assert_eq!(fault(&mut begun, &records[1]), None);

    let fork = Place { previous: RecordHash([9; 32]), ..begun.next() };
    let forked = seal(&[Sample::new(9).placement_item()], fork, 9);
    assert_eq!(fault(&mut begun, &forked), Some(RecordFault::BrokenLink));
    let stranger = DeviceId::new([2; 16]);
    let strange = seal(&[Sample::new(9).placement_item()], Place { device: stranger, ..begun.next() }, 9);
    assert_eq!(fault(&mut begun, &strange), Some(RecordFault::WrongDevice { found: stranger }));
    assert_eq!(fault(&mut begun, &records[2]), None);
    let end = ChainEnd { device: before.device, sequence: 2, hash: records[2].hash() };
    assert_eq!(begun.end(), Some(end));
}

#[test]
fn chain_begins_with_one_certified_device() {
    let place = Place { device: DeviceId::new([1; 16]), sequence: 0, previous: RecordHash::NONE };
    let fault = |record: &Record| begin(record).unwrap_err();
    assert_eq!(fault(&seal(&[Sample::new(9).content_item()], place, 1)), RecordFault::NotGenesis);
    let other_device = seal(&[PlacementItem::Device(device(2))], place, 1);
    assert_eq!(fault(&other_device), RecordFault::WrongDevice { found: DeviceId::new([2; 16]) });
    let two = seal(&[PlacementItem::Device(device(1)), PlacementItem::Device(device(1))], place, 1);
    assert_eq!(fault(&two), RecordFault::NotGenesis);
    let mut uncertified = device(1);
    uncertified.class = DeviceClass::Verify;
    let error = fault(&seal(&[PlacementItem::Device(uncertified)], place, 1));
    assert_eq!(error.to_string(), "the signature of a device's certificate is not valid");
    let later = chain(2).pop().unwrap();
    assert_eq!(fault(&later), RecordFault::WrongSequence { found: 1 });
}

#[test]
fn device_names_itself_only_once_and_a_verify_device_records_promises_only() {
    let mut begun = begin(&first_record(1)).unwrap();
    let again = seal(&[PlacementItem::Device(device(1))], begun.next(), 1);
    assert_eq!(begun.accept(&again, &chain_keys()).unwrap_err(), RecordFault::NotGenesis);

    let keys = keys();
    let id = DeviceId::new([3; 16]);
    let verifier = Device::certify(id, DeviceClass::Verify, Timestamp(0), Vec::new(), &keys);
    let signer = keys.device_keys(DeviceClass::Verify, &id);
    let seal = |item: PlacementItem, place| {
        let body = &Body::of(&[item]).unwrap()[0];
        Record::seal(body, place, keys.vault_id(), &keys.placement_key(), &signer, &mut rng(1))
    };
    let mut chain = Chain::new(id);
    let mut accept = |item| {
        let record = seal(item, chain.next());
        chain.accept(&record, &chain_keys()).map(drop)
    };
    assert_eq!(accept(PlacementItem::Device(verifier)), Ok(()));
    let (provider, snapshot) = (ProviderId::new([1; 32]), SnapshotId::new([1; 16]));
    assert_eq!(accept(PlacementItem::Promises(Promises { provider, promises: Vec::new() })), Ok(()));
    let needs = PlacementItem::Needs(Needs { snapshot, packs: Vec::new() });
    assert_eq!(accept(needs), Err(RecordFault::NotAllowed));
}

fn seal_head(head: &Head, seed: u64) -> Vec<u8> {
    let keys = keys();
    let signer = keys.device_keys(head.class, &head.device);
    head.seal(keys.vault_id(), &keys.head_key(), &signer, &mut rng(seed)).unwrap()
}

fn open_head(sealed: &[u8]) -> Result<Head, FormatError> {
    let keys = keys();
    Head::open(sealed, keys.vault_id(), &PublicKey::from(keys.identity()), &keys.head_key())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn head_opens_to_what_was_sealed(seed: u64, run_count in 1..20u64) {
        let head = Sample::new(seed).head(run_count);
        let sealed = seal_head(&head, seed);
        prop_assert!(HEAD_LEN_CLASSES.contains(&sealed.len()));
        prop_assert_eq!(sealed.len(), head.sealed_len().unwrap());
        let opened = open_head(&sealed).unwrap();
        prop_assert_eq!(codec::encode(&opened).unwrap(), codec::encode(&head).unwrap());
    }
}

#[test]
fn the_same_head_sealed_twice_is_two_blobs() {
    let head = Sample::new(1).head(3);
    assert_ne!(seal_head(&head, 1), seal_head(&head, 2));
}

#[test]
fn head_too_long_for_every_class_is_refused() {
    let mut head = Sample::new(1).head(1);
    head.others = vec![OtherHead { device: DeviceId::new([1; 16]), counter: 1 }; 256];
    head.relays = vec!["r".repeat(255); 32];
    assert!(head.sealed_len().is_ok());
    let mut long = Sample::new(2).head(64);
    long.others = head.others;
    long.relays = head.relays;
    assert!(matches!(
        long.sealed_len(),
        Err(FormatError::TooMany { what: "bytes of a head", max: 43_008, .. })
    ));
}

#[test]
fn head_names_providers_of_its_list_and_runs_without_gaps() {
    let head = |change: fn(&mut Head)| {
        let mut head = Sample::new(3).head(3);
        change(&mut head);
        codec::encode(&head).err()
    };
    assert_eq!(head(|_| {}), None);
    assert!(head(|head| head.runs[1].pack.providers[0] = 3).is_some());
    assert!(head(|head| head.runs[1].first += 1).is_some());
    assert!(head(|head| head.runs[0].first = 1).is_some());
    assert!(head(|head| head.runs[2].last -= 1).is_some());
    assert!(head(|head| head.last += 1).is_some());
    assert!(head(|head| head.runs.clear()).is_some());
    assert!(head(|head| head.runs[0].last = u64::MAX).is_some());
}

/// A head as it would be sealed, after `change` to its plaintext.
fn forged_head(change: impl FnOnce(&mut Vec<u8>)) -> Result<Head, FormatError> {
    let keys = keys();
    let head = Sample::new(1).head(3);
    let mut plain = codec::encode(&head).unwrap();
    let signature = sign::sign(&plain, Purpose::Head, &keys.device_keys(head.class, &head.device));
    plain.extend_from_slice(&signature.0);
    plain.resize(head.sealed_len().unwrap() - 48, 0);
    change(&mut plain);
    let (vault, device) = (keys.vault_id(), DeviceId::new([0; 16]));
    let layer = crate::crypt::Layer::Placement;
    let aad = crate::crypt::Aad { kind: SealedKind::Head, vault, device, layer, extra: &[] };
    open_head(&seal_salted(&plain, &aad, &keys.head_key(), &mut rng(1)))
}

#[test]
fn head_is_signed_by_a_certified_device_and_padded_with_zeros() {
    assert!(forged_head(|_| {}).is_ok());
    // The counter stands behind version, device, class, key and certificate.
    let counter_at = 1 + 16 + 1 + 32 + 64;
    let error = forged_head(|plain| plain[counter_at] ^= 1).unwrap_err();
    assert_eq!(error.to_string(), "the signature of a head is not valid");
    let error = forged_head(|plain| plain[counter_at - 1] ^= 1).unwrap_err();
    assert_eq!(error.to_string(), "the signature of a device's certificate is not valid");
    assert!(forged_head(|plain| *plain.last_mut().unwrap() = 1).is_err());
    assert!(forged_head(|plain| plain.resize(43_008 - 48, 0)).is_err());
    let error = forged_head(|plain| plain[0] = 2).unwrap_err();
    assert!(matches!(error, FormatError::UnknownVersion { what: "a head", found: 2, known: 1 }));
}

#[test]
fn manifest_pack_holds_records_at_full_capacity() {
    for (need, total) in [(1, 3), (2, 5)] {
        let scheme = Scheme::new(need, total).unwrap();
        for len in [1, ManifestPack::capacity(scheme)] {
            let records = bytes(len, 1);
            let encoded = ManifestPack::new(&records, scheme, &mut rng(1)).encode();
            let shards = encoded.shards.clone();
            let pack = encoded.into_ref(vec![0; usize::from(total)]);
            let parity: Vec<VerifiedShard> = (total - need..total)
                .map(|i| pack.coding.verify(ShardIndex(i), shards[usize::from(i)].clone()).unwrap())
                .collect();
            assert_eq!(pack.open(&parity).unwrap(), records);
        }
    }
}

/// Applies plans as a device would that publishes after every record.
fn publish(record_count: u64, run_max: usize) -> (Vec<RunSpan>, u64) {
    let (mut runs, mut written) = (Vec::<RunSpan>::new(), 0);
    for last in 0..record_count {
        let plan = plan(&runs, last, run_max).unwrap();
        written += plan.write.last - plan.write.first + 1;
        runs.truncate(plan.keep);
        runs.push(plan.write);
        assert_eq!(runs[0].first, 0);
        assert!(
            runs.windows(2).all(|pair| pair[0].last + 1 == pair[1].first && pair[0].level >= pair[1].level)
        );
        assert!(runs.len() <= run_max && plan.write.last == last);
    }
    (runs, written)
}

#[test]
fn runs_stay_few_and_records_are_seldom_written_again() {
    let (runs, written) = publish(4096, 64);
    assert!(runs.len() <= 7 * 4 + 1, "{runs:?}");
    assert!(written <= 4096 * 5, "{written}");
    assert!(publish(500, 3).0.len() <= 3);
    assert_eq!(publish(20, 1).0.len(), 1);
}

#[test]
fn seven_runs_of_a_level_stay_and_the_eighth_merges_them() {
    let level_zero = |count| (0..count).map(|i| RunSpan { level: 0, first: i, last: i }).collect::<Vec<_>>();
    let expected = Plan { keep: 6, write: RunSpan { level: 0, first: 6, last: 9 } };
    assert_eq!(plan(&level_zero(6), 9, 64), Some(expected));
    let expected = Plan { keep: 0, write: RunSpan { level: 1, first: 0, last: 7 } };
    assert_eq!(plan(&level_zero(7), 7, 64), Some(expected));
    assert_eq!(plan(&level_zero(7), 6, 64), None);
}

#[test]
fn signatures_of_heads_and_records_are_made_by_the_device_alone() {
    let head = Sample::new(1).head(1);
    let keys = keys();
    let sealed = head.seal(keys.vault_id(), &keys.head_key(), keys.identity(), &mut rng(1)).unwrap();
    assert!(open_head(&sealed).is_err());
    let mut device = device(1);
    device.created = Timestamp(5);
    assert!(device.verify(keys.vault_id(), &PublicKey::from(keys.identity())).is_ok());
    device.certificate = Signature([1; 64]);
    assert!(device.verify(keys.vault_id(), &PublicKey::from(keys.identity())).is_err());
}
