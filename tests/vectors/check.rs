//! How the right vectors are checked.

use blobdvm::crypt::{
    Aad, DeviceClass, Layer, LayerKey, MaskKey, PublicKey, Purpose, SealedKind, SegmentKey, Signature,
    TagKey, VaultKeys, VaultSecret, mask, open_salted, open_segment, sign, tag,
};
use blobdvm::erasure::{Codec, Scheme};
use blobdvm::format::codec::{Reader, decode, encode};
use blobdvm::format::*;
use blobdvm::types::{BlobHash, DeviceId, ProviderId, ShardIndex, VaultId, merkle_root};
use bytes::Bytes;
use serde_json::Value;

use super::{array, bytes, describe, text};

pub(crate) fn vault_keys(vector: &Value) -> VaultKeys {
    VaultKeys::new(VaultSecret::new(array(vector, "secret"))).unwrap()
}

/// All keys of a vault, with the device and provider that the vector names.
pub(crate) fn derive(vector: &Value) -> Vec<(&'static str, String)> {
    let keys = vault_keys(vector);
    let device = DeviceId::new(array(vector, "device"));
    let provider = ProviderId::new(array(vector, "provider"));
    let scalar = |keys: nostr::Keys| keys.secret_key().to_secret_hex();
    vec![
        ("vault_key", hex::encode(PublicKey::from(keys.identity()).0)),
        ("vault_id", keys.vault_id().to_string()),
        ("segment_tag_key", hex::encode(keys.segment_tag_key().expose())),
        ("tree_tag_key", hex::encode(keys.tree_tag_key().expose())),
        ("cut_seed", keys.cut_seed().to_string()),
        ("content_key", hex::encode(keys.content_key().expose())),
        ("placement_key", hex::encode(keys.placement_key().expose())),
        ("head_key", hex::encode(keys.head_key().expose())),
        ("head_author", scalar(keys.actor().head_author())),
        ("head_name", keys.actor().head_name(&device)),
        ("device_key_full", scalar(keys.device_keys(DeviceClass::Full, &device))),
        ("pseudonym_full", scalar(keys.actor().pseudonym(&provider))),
        ("local_key", hex::encode(keys.actor().local_key().expose())),
    ]
}

/// What the capability of the vector's device gives.
pub(crate) fn derive_capability(vector: &Value) -> Vec<(&'static str, String)> {
    let keys = vault_keys(vector);
    let device = DeviceId::new(array(vector, "device"));
    let provider = ProviderId::new(array(vector, "provider"));
    let actor = keys.verify_actor(&device);
    let scalar = |keys: nostr::Keys| keys.secret_key().to_secret_hex();
    vec![
        ("capability_secret", hex::encode(keys.capability_secret(&device).expose())),
        ("device_key", scalar(actor.device_keys(&device))),
        ("pseudonym", scalar(actor.pseudonym(&provider))),
        ("head_author", scalar(actor.head_author())),
        ("head_name", actor.head_name(&device)),
        ("local_key", hex::encode(actor.local_key().expose())),
    ]
}

pub(crate) fn capability(vector: &Value) {
    for (name, value) in derive_capability(vector) {
        assert_eq!(text(vector, name), value, "{name}");
    }
}

pub(crate) fn keys(vector: &Value) {
    for (name, value) in derive(vector) {
        assert_eq!(text(vector, name), value, "{name}");
    }
}

pub(crate) fn sealing(vector: &Value) {
    match text(vector, "what") {
        "segment" => {
            let key = SegmentKey::new(array(vector, "key"));
            assert_eq!(open_segment(&key, bytes(vector, "sealed")).unwrap(), bytes(vector, "packed"));
            let plain =
                compress::unpack(&bytes(vector, "packed"), 4 << 20, "a segment").unwrap().into_owned();
            assert_eq!(plain, bytes(vector, "plain"));
        }
        "salted" => {
            let (kind, layer) = match text(vector, "kind") {
                "placement record" => (SealedKind::Record, Layer::Placement),
                "content record" => (SealedKind::Record, Layer::Content),
                "head" => (SealedKind::Head, Layer::Placement),
                _ => (SealedKind::Local, Layer::None),
            };
            let (vault, device) =
                (VaultId::new(array(vector, "vault")), DeviceId::new(array(vector, "device")));
            let aad = Aad { kind, vault, device, layer, extra: &bytes(vector, "extra") };
            let opened = open_salted(&bytes(vector, "sealed"), &aad, &LayerKey::new(array(vector, "key")));
            assert_eq!(*opened.unwrap(), bytes(vector, "plain"));
        }
        "signature" => {
            let purpose = match text(vector, "purpose") {
                "record" => Purpose::Record,
                "device" => Purpose::Device,
                _ => Purpose::Head,
            };
            let signature = Signature(array(vector, "signature"));
            let signer = PublicKey(array(vector, "signer"));
            assert_eq!(sign::verify(&bytes(vector, "message"), purpose, &signature, &signer), Ok(()));
        }
        "segment tag" => {
            let found = tag::segment_tag(&bytes(vector, "plain"), &TagKey::new(array(vector, "key")));
            assert_eq!(found.to_string(), text(vector, "tag"));
        }
        "mask" => {
            let mut shard = bytes(vector, "shard");
            let index = ShardIndex(vector["index"].as_u64().unwrap().try_into().unwrap());
            mask::mask_shard(&mut shard, index, &MaskKey::new(array(vector, "key")));
            assert_eq!(shard, bytes(vector, "masked"));
        }
        other => panic!("{other} is not known"),
    }
}

pub(crate) fn pack(vector: &Value) {
    let shards: Vec<Vec<u8>> = vector["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| hex::decode(shard.as_str().unwrap()).unwrap())
        .collect();
    match text(vector, "what") {
        "code" => {
            let number = |field: &str| u8::try_from(vector[field].as_u64().unwrap()).unwrap();
            let scheme = Scheme::new(number("need"), number("total")).unwrap();
            let (data, parity) = shards.split_at(usize::from(scheme.need()));
            assert_eq!(Codec::new(scheme).encode(&data.concat()), parity.concat());
        }
        "pack" => {
            let coding: Coding = decode(&bytes(vector, "coding"), "a coding").unwrap();
            assert_eq!(describe::coding(&coding), vector["described"]);
            let verified: Vec<VerifiedShard> = (0..=u8::MAX)
                .zip(&shards)
                .map(|(index, shard)| coding.verify(ShardIndex(index), Bytes::from(shard.clone())).unwrap())
                .collect();
            for (shard, name) in shards.iter().zip(&coding.shards) {
                assert_eq!((BlobHash::of(shard), merkle_root(shard)), (name.hash, name.root));
            }
            // From the first shards, and from the last ones.
            let need = usize::from(coding.scheme.need());
            for some in [&verified[..need], &verified[verified.len() - need..]] {
                assert_eq!(coding.decode(some).unwrap(), bytes(vector, "sealed"));
            }
            let all: Vec<_> = coding.rebuild(&verified).unwrap().iter().map(|shard| shard.to_vec()).collect();
            assert_eq!(all, shards);
        }
        other => panic!("{other} is not known"),
    }
}

pub(crate) fn item(vector: &Value) {
    let encoding = bytes(vector, "encoding");
    let (again, described) = match text(vector, "layer") {
        "placement" => {
            let item: PlacementItem = decode(&encoding, "an item").unwrap();
            (encode(&item), describe::placement(&item))
        }
        _ => {
            let item: ContentItem = decode(&encoding, "an item").unwrap();
            (encode(&item), describe::content(&item))
        }
    };
    assert_eq!(described, vector["described"]);
    assert_eq!(again, Ok(encoding));
}

pub(crate) fn manifest(vector: &Value) {
    let keys = vault_keys(vector);
    match text(vector, "what") {
        "chain" => {
            let (described, end) = read_chain(&bytes(vector, "records"), &keys).unwrap();
            assert_eq!(Value::Array(described), vector["described"]);
            assert_eq!(describe::chain_end(&end), vector["end"]);
        }
        "head" => {
            let head = open_head(&bytes(vector, "sealed"), &keys).unwrap();
            assert_eq!(describe::head(&head), vector["described"]);
        }
        other => panic!("{other} is not known"),
    }
}

pub(crate) fn open_head(sealed: &[u8], keys: &VaultKeys) -> Result<Head, FormatError> {
    Head::open(sealed, keys.vault_id(), &PublicKey::from(keys.identity()), &keys.head_key())
}

/// Follows a chain, and describes the items of each record.
pub(crate) fn read_chain(records: &[u8], keys: &VaultKeys) -> Result<(Vec<Value>, ChainEnd), RecordFault> {
    let chain_keys = ChainKeys::new(keys);
    let mut input = Reader::new(records, "a chain");
    let (mut chain, mut described) = (None::<Chain>, Vec::new());
    while input.remaining() > 0 || chain.is_none() {
        let record = Record::read(&mut input)?;
        let chain = chain.get_or_insert_with(|| Chain::new(record.place().device));
        described.push(match chain.accept(&record, &chain_keys)? {
            Items::Placement(items) => items.iter().map(describe::placement).collect(),
            Items::Content(items) => items.iter().map(describe::content).collect(),
            Items::Sealed => panic!("the vault's secret opens everything"),
        });
    }
    Ok((described, chain.and_then(|chain| chain.end()).expect("there is a record")))
}
