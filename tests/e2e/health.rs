//! Check, renew, repair and watch, on one clock, with providers that lose, spoil and keep away what they promised.

use std::fs;
use std::time::Duration;

use blobdvm::client::{CheckOptions, CheckOutcome, Depth, Listing, Verdict, WatchOptions};

use crate::vault_net::VaultNet;

const DAY: Duration = Duration::from_secs(86_400);
const FILES: [(u64, usize); 2] = [(1, 150_000), (2, 4_000)];

async fn check(world: &VaultNet, depth: Depth) -> CheckOutcome {
    let mut client = world.client("a").await;
    client.check(&CheckOptions { snapshot: None, depth, listing: Listing::All }).await.unwrap()
}

async fn is_healthy(world: &VaultNet) {
    for depth in [Depth::Ask, Depth::Audit { count: 50 }, Depth::Read { percent: 100 }] {
        let outcome = check(world, depth).await;
        let shards = outcome.tally.shards;
        assert_eq!(outcome.worst(), Verdict::Healthy, "{:?}", outcome.tally);
        assert_eq!((shards.missing, shards.corrupt, shards.unknown), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_whole_vault_moves_nothing_and_finds_everything_good() {
    let world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    let outcome = check(&world, Depth::Ask).await;
    let tally = &outcome.tally;
    assert_eq!((tally.healthy, tally.degraded, tally.lost, outcome.bytes_moved), (tally.packs, 0, 0, 0));
    assert_eq!(tally.shards.good, tally.packs * 3);
    assert!(tally.packs >= 2, "packs of files and of the manifest");
    assert_eq!(tally.listed.len() as u64, tally.packs);
    assert!(tally.providers.values().all(|row| row.found.good == tally.packs && row.expiring == 0));
    is_healthy(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_found_by_an_audit_and_repaired() {
    let mut world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    let damaged = world.net.corrupt(1).unwrap();
    assert!(damaged.count() >= 2);
    assert_eq!(check(&world, Depth::Ask).await.worst(), Verdict::Healthy, "a word is no proof");

    let found = check(&world, Depth::Audit { count: 4 }).await;
    assert_eq!(found.worst(), Verdict::Degraded);
    assert_eq!(found.tally.degraded, found.tally.packs, "one bad sample has everything looked at");
    world.restores("a", "files").await;

    let repaired = world.client("a").await.repair(None).await.unwrap();
    assert_eq!((repaired.packs_left, repaired.packs_lost), (0, 0));
    assert!(repaired.packs_repaired > 0 && repaired.shards_written > 0);
    is_healthy(&world).await;
    world.net.kill(0);
    world.restores("a", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_provider_is_made_up_for_by_another_and_the_manifest_too() {
    let mut world = VaultNet::start_with(4).await;
    world.put("a", "files", &FILES).await;
    let holder = world.holder("a").await;
    world.net.wipe(holder).unwrap();
    assert_eq!(check(&world, Depth::Ask).await.worst(), Verdict::Degraded);

    let repaired = world.client("a").await.repair(None).await.unwrap();
    assert_eq!((repaired.packs_left, repaired.packs_lost), (0, 0));
    is_healthy(&world).await;
    let second = world.client("a").await.repair(None).await.unwrap();
    assert_eq!((second.shards_written, second.packs_repaired), (0, 0), "nothing is left to do");
    // Whoever comes with the key alone finds what was moved.
    world.recover("b", "a").await;
    world.restores("b", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_of_a_pack_never_go_to_one_provider() {
    let mut world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    world.net.wipe(0).unwrap();
    let repaired = world.client("a").await.repair(None).await.unwrap();
    assert!(repaired.packs_left > 0 && repaired.packs_repaired == 0, "nobody is free: {repaired:?}");
    assert_eq!(check(&world, Depth::Ask).await.worst(), Verdict::Degraded);
    world.restores("a", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_called_lost_and_what_is_away_is_not() {
    let mut world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    world.net.kill(0);
    world.net.kill(1);
    assert_eq!(check(&world, Depth::Ask).await.worst(), Verdict::OutOfReach);
    world.net.revive(0).await;
    world.net.revive(1).await;
    is_healthy(&world).await;
    for index in [0, 1] {
        for blob in world.net.blobs(index).unwrap() {
            fs::remove_file(blob).unwrap();
        }
        world.net.revive(index).await;
    }
    let outcome = check(&world, Depth::Ask).await;
    assert_eq!(outcome.worst(), Verdict::Lost);
    assert_eq!(outcome.weak_snapshots.len(), 1);
    assert!(world.client("a").await.repair(None).await.unwrap().packs_lost > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_extends_every_promise_and_moves_nothing() {
    let world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    let before = check(&world, Depth::Ask).await.tally.providers;
    world.advance_days(60);
    let renewed = world.client("a").await.renew(None).await.unwrap();
    assert_eq!((renewed.failed, renewed.bytes_moved), (0, 0));
    assert!(renewed.renewed > 0);
    let after = check(&world, Depth::Ask).await.tally.providers;
    for (id, row) in &after {
        assert!(row.first_lapse.unwrap().since(before[id].first_lapse.unwrap()) >= DAY * 50);
    }
    let again = world.client("a").await.renew(None).await.unwrap();
    assert_eq!(
        (again.failed, again.first_lapse),
        (0, after.values().filter_map(|row| row.first_lapse).min())
    );
    world.restores("a", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_keeps_a_vault_for_years() {
    let world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    let mut renewed = 0;
    for _ in 0..24 {
        world.advance_days(30);
        let round = world.client("a").await.watch_round(&WatchOptions::default()).await.unwrap();
        assert_eq!((round.degraded, round.lost, round.shards_written), (0, 0, 0), "{round:?}");
        assert_eq!(round.audited.0, round.audited.1);
        assert!(round.first_lapse > Some(world.now().saturating_add(DAY * 30)), "{round:?}");
        renewed += round.renewed;
    }
    assert!(renewed > 0);
    world.restores("a", "files").await;
    world.recover("b", "a").await;
    world.restores("b", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_absence_moves_no_data_and_a_long_one_does() {
    let mut world = VaultNet::start_with(4).await;
    world.put("a", "files", &FILES).await;
    let holder = world.holder("a").await;
    let options = WatchOptions { grace: DAY * 2, ..WatchOptions::default() };
    world.net.kill(holder);
    let bytes = world.bytes();
    let round = world.client("a").await.watch_round(&options).await.unwrap();
    assert_eq!((round.shards_written, round.degraded), (0, 0), "{round:?}");
    world.advance_days(1);
    let round = world.client("a").await.watch_round(&options).await.unwrap();
    assert_eq!((round.shards_written, world.bytes()), (0, bytes), "{round:?}");

    world.advance_days(2);
    let round = world.client("a").await.watch_round(&options).await.unwrap();
    assert!(round.shards_written > 0 && round.degraded == 0, "{round:?}");
    assert!(world.bytes() > bytes);
    is_healthy(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lost_the_head_gets_it_back() {
    let world = VaultNet::start().await;
    world.put("a", "files", &FILES).await;
    world.net.hub(0).unwrap().forget_stored();
    world.client("a").await.watch_round(&WatchOptions::default()).await.unwrap();
    world.recover("b", "a").await;
    world.restores("b", "files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_kept() {
    let mut world = VaultNet::start_with(4).await;
    world.put("a", "files", &[(1, 4_000_000)]).await;
    let holder = world.holder("a").await;
    world.net.wipe(holder).unwrap();
    let options = WatchOptions {
        grace: Duration::ZERO,
        bytes_per_day: 2_000_000,
        audit_count: 0,
        ..WatchOptions::default()
    };
    let first = world.client("a").await.watch_round(&options).await.unwrap();
    assert!(first.degraded > 0, "{first:?}");
    let same_day = world.client("a").await.watch_round(&options).await.unwrap();
    assert_eq!(same_day.shards_written, 0);
    for _ in 0..10 {
        world.advance_days(1);
        world.client("a").await.watch_round(&options).await.unwrap();
    }
    is_healthy(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_mends_what_it_builds_on_instead_of_storing_all_of_it_anew() {
    let mut world = VaultNet::start_with(4).await;
    world.put("a", "files", &[(1, 2_000_000)]).await;
    let full = world.bytes();
    let packs = world.client("a").await.vault.needed_packs().unwrap();
    let holder = world.holder("a").await;
    world.net.wipe(holder).unwrap();
    world.put("a", "files", &[(1, 2_000_000)]).await;
    assert_eq!(world.client("a").await.vault.needed_packs().unwrap(), packs, "the same packs");
    assert!(world.bytes() < full + 200_000, "{} after {full}", world.bytes());
    is_healthy(&world).await;
}
