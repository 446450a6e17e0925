//! Runs: a stretch of a chain's records as packs of the manifest's own, out to providers and back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;

use crate::client::base::Client;
use crate::client::confirm::{Promised, Standard, still_there};
use crate::client::error::ClientError;
use crate::client::get::fetch::{Fetcher, Holder};
use crate::client::health::{KeptPack, PromisedShard};
use crate::client::roster::Roster;
use crate::client::upload::{Shards, Uploader};
use crate::env::{Env, off_thread};
use crate::erasure::Scheme;
use crate::format::head::RunDepth;
use crate::format::manifest::ManifestPack;
use crate::format::runs::RunSpan;
use crate::format::{FormatError, Head, PackRef, Record, Run, RunIndex, codec};
use crate::types::{BlobHash, PackId, ProviderId, ShardIndex, Timestamp};
use crate::vault::{Blemish, RecordRange};

/// Providers that a head or an index names by position.
#[derive(Debug, Default)]
pub(crate) struct ProviderTable {
    providers: Vec<ProviderId>,
}

impl ProviderTable {
    /// The position of `provider`, which is added if it is new.
    pub(crate) fn position(&mut self, provider: ProviderId) -> u8 {
        let position = self.providers.iter().position(|known| *known == provider).unwrap_or_else(|| {
            self.providers.push(provider);
            self.providers.len() - 1
        });
        u8::try_from(position).expect("a put uses at most 255 providers")
    }

    pub(crate) fn into_providers(self) -> Vec<ProviderId> {
        self.providers
    }
}

/// Stores the records of `span` and says where they are.
pub(crate) async fn write(
    span: RunSpan,
    records: &RecordRange,
    scheme: Scheme,
    table: &mut ProviderTable,
    uploader: &Uploader,
    env: &Env,
) -> Result<Run, ClientError> {
    let capacity = ManifestPack::capacity(scheme);
    let run = |depth, (pack, expires)| {
        let RunSpan { level, first, last } = span;
        Run { level, depth, first, last, expires, pack }
    };
    if records.len() <= capacity as u64 {
        let records = records.part(0, capacity)?;
        return Ok(run(RunDepth::Records, store(&records, scheme, table, uploader, env).await?));
    }
    let mut packs = Vec::new();
    let mut inner = ProviderTable::default();
    let mut first_expires = None::<Timestamp>;
    for at in (0..records.len()).step_by(capacity) {
        let part = records.part(at, capacity)?;
        let (pack, expires) = store(&part, scheme, &mut inner, uploader, env).await?;
        first_expires = Some(first_expires.map_or(expires, |first| first.min(expires)));
        packs.push(pack);
    }
    let index = codec::encode(&RunIndex { providers: inner.into_providers(), packs })?;
    let (pack, expires) = store(&index, scheme, table, uploader, env).await?;
    Ok(run(RunDepth::Index, (pack, first_expires.map_or(expires, |first| first.min(expires)))))
}

/// Stores one pack of the manifest; returns it and when its first promise lapses.
async fn store(
    plain: &[u8],
    scheme: Scheme,
    table: &mut ProviderTable,
    uploader: &Uploader,
    env: &Env,
) -> Result<(PackRef, Timestamp), ClientError> {
    let pack = ManifestPack::new(plain, scheme, &mut env.rng());
    let mut encoded = off_thread(|| pack.encode()).await.expect("encoding does not panic");
    let names = encoded.coding().shards.iter().map(|shard| shard.hash).collect::<Vec<_>>();
    let blobs = names.into_iter().zip(std::mem::take(&mut encoded.shards)).collect();
    let shards = Shards { pack: PackId::new(env.random_bytes()), blobs };
    let kept = uploader.store(shards).await?;
    let expires = kept.iter().map(|shard| shard.expires).min().unwrap_or_default();
    let positions = kept.iter().map(|shard| table.position(shard.provider)).collect();
    Ok((encoded.into_ref(positions), expires))
}

/// Brings back the records of a run of `head`, at most `len_max` bytes of them, and has `take` have them part by part,
/// whole ones each time.
pub(crate) async fn read(
    run: &Run,
    head: &Head,
    len_max: u64,
    fetcher: &Fetcher,
    mut take: impl FnMut(&[u8]) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let plain = open(&run.pack, &head.providers, fetcher).await?;
    match run.depth {
        RunDepth::Records => take(&plain),
        RunDepth::Index => {
            let index = decode_index(&plain)?;
            let count = index.packs.iter().map(|pack| u64::from(pack.plain_len)).sum();
            if count > len_max {
                return Err(FormatError::TooMany { what: "bytes of a run", count, max: len_max }.into());
            }
            let mut records = BytesMut::new();
            for pack in &index.packs {
                records.extend_from_slice(&open(pack, &index.providers, fetcher).await?);
                // A record may begin in one pack and end in the next.
                let whole = records.split_to(Record::whole_len(&records));
                if !whole.is_empty() {
                    take(&whole)?;
                }
            }
            // What is left is no record; whoever takes it says so.
            if records.is_empty() { Ok(()) } else { take(&records) }
        }
    }
}

/// Names of all blobs of a run of `head`.
pub(crate) async fn blobs(run: &Run, head: &Head, fetcher: &Fetcher) -> Result<Vec<BlobHash>, ClientError> {
    let names = |pack: &PackRef| pack.coding.shards.iter().map(|shard| shard.hash).collect::<Vec<_>>();
    let mut blobs = names(&run.pack);
    if run.depth == RunDepth::Index {
        let index = decode_index(&open(&run.pack, &head.providers, fetcher).await?)?;
        blobs.extend(index.packs.iter().flat_map(names));
    }
    Ok(blobs)
}

/// All packs of a run of `head`, as packs that are looked after. Those that an index names, too, if it can be had.
pub(crate) async fn kept(run: &Run, head: &Head, fetcher: &Fetcher) -> Vec<KeptPack> {
    let keep = |pack: &PackRef, providers: &[ProviderId]| KeptPack {
        id: name(pack),
        coding: pack.coding.copy(),
        promised: holders(pack, providers)
            .into_iter()
            .map(|(shard, provider)| PromisedShard { shard, provider, expires: run.expires })
            .collect(),
        manifest_of: Some(head.device),
    };
    let mut packs = vec![keep(&run.pack, &head.providers)];
    if run.depth == RunDepth::Index
        && let Ok(plain) = open(&run.pack, &head.providers, fetcher).await
        && let Ok(index) = decode_index(&plain)
    {
        packs.extend(index.packs.iter().map(|pack| keep(pack, &index.providers)));
    }
    packs
}

/// Packs of the manifest have no id: the beginning of the first shard's name tells which one is meant.
fn name(pack: &PackRef) -> PackId {
    let hash = pack.coding.shards[0].hash;
    PackId::new(hash.as_bytes()[..PackId::LEN].try_into().expect("16 of 32 bytes"))
}

async fn open(pack: &PackRef, providers: &[ProviderId], fetcher: &Fetcher) -> Result<Bytes, ClientError> {
    let shards = fetcher.shards(name(pack), &pack.coding, &holders(pack, providers)).await?;
    Ok(pack.open(&shards)?)
}

fn decode_index(plain: &[u8]) -> Result<RunIndex, ClientError> {
    Ok(codec::decode(plain, "the index of a run")?)
}

/// Who holds which shard of `pack`.
fn holders(pack: &PackRef, providers: &[ProviderId]) -> Vec<Holder> {
    let provider = |position: &u8| providers.get(usize::from(*position)).copied();
    (0..)
        .map(ShardIndex)
        .zip(&pack.providers)
        .filter_map(|(shard, at)| Some((shard, provider(at)?)))
        .collect()
}

/// True if all packs of `run` are there at the spread that is asked for, promised for long enough. Also says when the
/// first of these promises lapses now.
pub(crate) async fn confirm(
    run: &Run,
    head: &Head,
    standard: &Standard,
    client: &Client,
    roster: &Roster,
) -> Option<Timestamp> {
    let outer = std::slice::from_ref(&run.pack);
    let first = confirm_packs(outer, &head.providers, run.expires, standard, client, roster).await?;
    if run.depth == RunDepth::Records {
        return Some(first);
    }
    let fetcher = Fetcher::new(roster, BTreeSet::new(), client.exchange.clone(), client.monitor.clone());
    let plain = open(&run.pack, &head.providers, &fetcher).await.ok()?;
    let index = decode_index(&plain).ok()?;
    let inner = confirm_packs(&index.packs, &index.providers, run.expires, standard, client, roster).await?;
    Some(first.min(inner))
}

/// The same of some packs. Each provider is asked once about all that it has of them.
async fn confirm_packs(
    packs: &[PackRef],
    providers: &[ProviderId],
    expires: Timestamp,
    standard: &Standard,
    client: &Client,
    roster: &Roster,
) -> Option<Timestamp> {
    let blemishes = client.vault.blemishes().ok()?;
    let is_blemished =
        |pack, shard, provider| blemishes.contains(&Blemish { pack, shard, provider, is_corrupt: true });
    let mut asked: BTreeMap<ProviderId, Vec<(usize, Promised)>> = BTreeMap::new();
    // For each pack, until when its shards are kept.
    let mut kept: Vec<Vec<Timestamp>> = vec![Vec::new(); packs.len()];
    for (index, pack) in packs.iter().enumerate() {
        let (id, len) = (name(pack), pack.coding.shard_len());
        for (shard, provider) in holders(pack, providers) {
            let hash = pack.coding.shards.get(shard.as_usize())?.hash;
            if roster.excused.contains(&provider) {
                kept[index].push(expires);
            } else if roster.can_use(&provider) && !is_blemished(id, shard, provider) {
                let wanted = Promised { shard, hash, len };
                asked.entry(provider).or_default().push((index, wanted));
            }
        }
    }
    let answers = asked.into_iter().map(|(provider, wanted)| async move {
        let (indexes, shards): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        (indexes, still_there(&client.exchange, provider, &shards, standard).await)
    });
    for (indexes, answers) in join_all(answers).await {
        for (index, answer) in indexes.into_iter().zip(answers) {
            kept[index].extend(answer.filter(|expires| *expires >= standard.keep_until));
        }
    }
    let manifest = Standard { scheme: Scheme::for_manifest(standard.scheme.total()).ok()?, ..*standard };
    let is_met = |(pack, kept): (&PackRef, &Vec<_>)| manifest.is_met(pack.coding.scheme, kept.len());
    let all_met = packs.iter().zip(&kept).all(is_met);
    all_met.then(|| kept.into_iter().flatten().min()).flatten()
}
