//! Many packs: in a test three are many ([`ASKED_TOGETHER`](super::ASKED_TOGETHER)).

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;

use crate::client::{CheckOptions, Client, Depth, Listing, PutOptions, Unwatched, Verdict};
use crate::env::{Env, ManualClock};
use crate::erasure::Scheme;
use crate::testing::{Net, NetOptions, RelayKind};
use crate::types::Timestamp;
use crate::vault::Home;

/// Files of more than half a pack each.
const FILE_COUNT: usize = 12;
const FILE_LEN: usize = 700_000;

async fn client(net: &Net, env: &Env) -> Client {
    let home = net.home_dir("a");
    let vault = Home::open(&home, env).or_else(|_| Home::init_fresh(&home, env)).unwrap();
    Client::new(vault, net.carrier().await, Arc::new(Unwatched), Duration::from_secs(5), env.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_packs_are_confirmed_in_portions_and_mended_where_more_lack_a_shard_than_are_remembered() {
    let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1_800_000_000))));
    let relay_kind = RelayKind::Memory(1);
    let options = NetOptions { relay_kind, provider_count: 4, env: env.clone(), ..NetOptions::default() };
    let mut net = Net::start(options).await;
    let folder = net.path().join("in");
    fs::create_dir(&folder).unwrap();
    for index in 0..FILE_COUNT {
        let mut bytes = vec![0; FILE_LEN];
        env.rng().fill_bytes(&mut bytes);
        fs::write(folder.join(index.to_string()), &bytes).unwrap();
        // It comes when the first one was recorded long ago.
        fs::write(folder.join(format!("copy of {index}")), bytes).unwrap();
    }
    let options = PutOptions::new(Scheme::new(2, 3).unwrap());
    let put =
        async |net: &Net| client(net, &env).await.put(std::slice::from_ref(&folder), &options).await.unwrap();
    let first = put(&net).await;
    let full_len = u64::from(options.scheme.pack_capacity());
    let least = (FILE_COUNT * FILE_LEN) as u64 / full_len;
    assert!(least > 6 && first.packs == least + 1, "{}: nothing is stored twice", first.packs);
    assert_eq!(put(&net).await.packs, 0, "all of them are there");

    let holders = client(&net, &env).await.vault.providers_with_history().unwrap();
    let holder = net.provider_ids().iter().position(|id| holders.contains(id)).unwrap();
    net.wipe(holder).unwrap();
    assert_eq!(put(&net).await.packs, 0, "what lacks a shard is mended, not stored anew");
    let options = CheckOptions { snapshot: None, depth: Depth::Ask, listing: Listing::Weak };
    let checked = client(&net, &env).await.check(&options).await.unwrap();
    assert_eq!(checked.worst(), Verdict::Healthy);
    let needed: BTreeSet<_> = client(&net, &env).await.vault.needed_packs().unwrap();
    assert_eq!(needed.len() as u64, first.packs, "the same packs");
}
