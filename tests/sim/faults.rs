//! What goes wrong, and how much of it may at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use blobdvm::store::{AtRest, Change, EventMark, Promise, Unsynced};
use blobdvm::testing::Spoil;
use blobdvm::transport::memory::Faults;
use blobdvm::types::{ClientId, Timestamp};
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::world::World;

const DAY: Duration = Duration::from_secs(86_400);

/// What is wrong with a provider for the moment. Nothing that it keeps is lost by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// It does not run.
    Away,
    /// It hears nothing and is not heard.
    Frozen,
    /// It sends wrong bytes.
    Lying,
    /// Its clock is wrong.
    WrongTime,
    /// Its disk takes nothing more.
    Full,
}

/// How a relay behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// Loses, repeats and reorders a little.
    Mild,
    /// Loses, repeats and reorders much.
    Harsh,
    /// Says OK and delivers nothing.
    Blackhole,
    /// Says OK and keeps nothing.
    Forgetful,
    Refusing,
    Silent,
    Gone,
}

/// All that is wrong now.
pub(crate) struct Flaws {
    pub(crate) ailing: Vec<Option<Ailment>>,
    /// Since when they are so.
    pub(crate) ailing_since: Vec<Timestamp>,
    pub(crate) weather: Vec<Weather>,
    /// Providers whose disks keep nothing of what they say they keep.
    pub(crate) hollow: BTreeSet<usize>,
    /// Providers that lost something without knowing it.
    pub(crate) silent_losses: BTreeSet<usize>,
    /// Providers that may have lost something of the manifests.
    pub(crate) manifest_bad: BTreeSet<usize>,
    /// Something was lost that was not brought back since.
    pub(crate) was_anything_lost: bool,
    /// Until when relays have forgotten their subscriptions.
    pub(crate) deaf_until: Timestamp,
    /// Something happens to a provider's disk during the next operation.
    pub(crate) is_disk_failing: bool,
}

impl Flaws {
    pub(crate) fn none(providers: usize, relays: usize) -> Self {
        Self {
            ailing: vec![None; providers],
            ailing_since: vec![Timestamp(0); providers],
            weather: vec![Weather::Fine; relays],
            hollow: BTreeSet::new(),
            silent_losses: BTreeSet::new(),
            manifest_bad: BTreeSet::new(),
            was_anything_lost: false,
            deaf_until: Timestamp(0),
            is_disk_failing: false,
        }
    }

    /// Providers that something is wrong with for the moment.
    pub(crate) fn impaired(&self) -> BTreeSet<usize> {
        (0..self.ailing.len()).filter(|index| self.ailing[*index].is_some()).collect()
    }

    /// Whether everything gets through in the end: at least one relay works, and none half.
    pub(crate) fn relays_work(&self, now: Timestamp) -> bool {
        let works = |weather: &Weather| matches!(weather, Weather::Fine | Weather::Mild);
        let is_plain =
            |weather: &Weather| works(weather) || matches!(weather, Weather::Gone | Weather::Refusing);
        now > self.deaf_until && self.weather.iter().any(works) && self.weather.iter().all(is_plain)
    }

    /// Whether a relay that works loses a message now and then.
    pub(crate) fn loses_messages(&self) -> bool {
        self.weather.contains(&Weather::Mild)
    }
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ailing = self.ailing.iter().enumerate().filter_map(|(index, one)| Some((index, (*one)?)));
        write!(f, "relays {:?}", self.weather)?;
        for (index, ailment) in ailing {
            write!(f, ", provider {index} {ailment:?}")?;
        }
        write!(f, ", hollow {:?}, silent losses {:?}", self.hollow, self.silent_losses)
    }
}

impl World {
    /// Whether everything is still restorable if this provider loses what it has.
    pub(crate) fn may_lose(&self, index: usize) -> bool {
        let parity = self.parity();
        let fits = |bad: &BTreeSet<usize>| bad.len() + usize::from(!bad.contains(&index)) <= parity;
        let mut there = self.snapshots.values().filter(|expected| expected.removed_at.is_none());
        fits(&self.flaws.manifest_bad) && there.all(|expected| fits(&expected.bad))
    }

    /// Has a random thing go wrong.
    pub(crate) async fn fault(&mut self) {
        match self.rng.random_range(0..12) {
            0..=3 => self.ail().await,
            10 => self.stranger(),
            4..=6 => self.change_weather(),
            _ => self.lose_something().await,
        }
    }

    /// Somebody else copies a blob that he came across, and deletes it: his claim goes, ours stays (invariant I11).
    fn stranger(&mut self) {
        let index = self.rng.random_range(0..self.provider_count);
        let blobs = if self.net.is_running(index) { self.net.intact(index) } else { Vec::new() };
        let Some(hash) = blobs.choose(&mut self.rng).copied() else { return };
        if self.flaws.hollow.contains(&index) || self.flaws.ailing[index].is_some() {
            return;
        }
        // Which one is not told: where threads draw random bytes in another order, its name is another one.
        self.story.tell(format_args!("  a stranger copies a blob to provider {index}, and deletes it"));
        let (store, now, stranger) = (self.net.provider(index).store(), self.now(), ClientId::new([7; 32]));
        let blob = store.get(&hash).expect("it is intact");
        let change = |mark| Change { at: now, mark: EventMark([mark; 8]) };
        let promise = Promise { client: stranger, change: change(1), expires: now.saturating_add(DAY) };
        store.put(hash, &blob, promise, AtRest::Plain).expect("there is room");
        let deleted = store.delete(stranger, &[hash], change(2)).expect("the disk works");
        assert!(deleted[0].is_ok(), "a claim can be dropped: {deleted:?}");
        let again = store.delete(ClientId::new([8; 32]), &[hash], change(3)).expect("the disk works");
        assert!(again[0].is_err(), "a claim that nobody has was dropped");
    }

    /// Something is wrong with a provider for a while, if not with too many.
    async fn ail(&mut self) {
        let index = self.rng.random_range(0..self.provider_count);
        let choice = [Ailment::Away, Ailment::Frozen, Ailment::Lying, Ailment::WrongTime, Ailment::Full];
        let ailment = *choice.choose(&mut self.rng).unwrap();
        if self.may_ail(index) { self.fall_ill(index, ailment) } else { self.recover_from(index).await }
    }

    /// Somebody is away from now on, if not too many have trouble.
    pub(crate) fn leave(&mut self) {
        let index = self.rng.random_range(0..self.provider_count);
        if self.may_ail(index) {
            self.fall_ill(index, Ailment::Away);
        }
    }

    fn may_ail(&self, index: usize) -> bool {
        self.flaws.ailing[index].is_none() && self.flaws.impaired().len() < self.parity()
    }

    fn fall_ill(&mut self, index: usize, ailment: Ailment) {
        self.story.tell(format_args!("  provider {index} is {ailment:?}"));
        self.flaws.ailing[index] = Some(ailment);
        self.flaws.ailing_since[index] = self.now();
        match ailment {
            Ailment::Away => self.net.kill(index),
            Ailment::Frozen => self.net.freeze(index),
            Ailment::Lying => self.net.liar(index).begin(),
            Ailment::WrongTime => {
                self.net.skew_clock(index, *[-600, 300, 600].choose(&mut self.rng).unwrap());
            }
            Ailment::Full => self.net.disk(index).set_capacity(Some(0)),
        }
    }

    /// A provider is as it should be again.
    pub(crate) async fn recover_from(&mut self, index: usize) {
        let Some(ailment) = self.flaws.ailing[index].take() else { return };
        self.story.tell(format_args!("  provider {index} is no longer {ailment:?}"));
        match ailment {
            Ailment::Away => self.net.revive(index).await,
            Ailment::Frozen => self.net.thaw(index),
            Ailment::Lying => self.net.liar(index).end(),
            Ailment::WrongTime => self.net.skew_clock(index, 0),
            Ailment::Full => self.net.disk(index).set_capacity(None),
        }
    }

    /// A relay becomes better or worse.
    fn change_weather(&mut self) {
        let relay = self.rng.random_range(0..self.relay_count);
        let choice = [
            Weather::Fine,
            Weather::Mild,
            Weather::Mild,
            Weather::Harsh,
            Weather::Blackhole,
            Weather::Forgetful,
            Weather::Refusing,
            Weather::Silent,
            Weather::Gone,
        ];
        let weather = *choice.choose(&mut self.rng).unwrap();
        self.set_weather(relay, weather);
        if self.rng.random_bool(0.2) {
            let hub = self.net.hub(relay).expect("relays are hubs");
            let forgets = Duration::from_secs(self.rng.random_range(1..40));
            hub.forget_subscriptions(forgets);
            self.flaws.deaf_until = self.flaws.deaf_until.max(self.now().saturating_add(forgets));
            self.story.tell(format_args!("  relay {relay} forgets its subscriptions for a while"));
        }
    }

    pub(crate) fn set_weather(&mut self, relay: usize, weather: Weather) {
        self.story.tell(format_args!("  relay {relay} is {weather:?}"));
        self.flaws.weather[relay] = weather;
        let hub = self.net.hub(relay).expect("relays are hubs");
        let wild = |permille: u16| Faults {
            drop_permille: permille,
            repeat_permille: permille,
            delay_permille: permille,
            delay: Duration::ZERO..Duration::from_millis(1_500),
            ..Faults::default()
        };
        hub.reconnect();
        hub.set_faults(match weather {
            Weather::Fine | Weather::Gone => Faults::default(),
            Weather::Mild => wild(60),
            Weather::Harsh => wild(400),
            Weather::Blackhole => Faults { drop_permille: 1_000, ..Faults::default() },
            Weather::Forgetful => Faults { keeps_nothing: true, ..Faults::default() },
            Weather::Refusing => Faults { refuse: Some("blocked: not today".into()), ..Faults::default() },
            Weather::Silent => Faults { silent: true, ..Faults::default() },
        });
        if weather == Weather::Gone {
            hub.disconnect();
        }
    }

    /// A provider loses what it has, if that can be made up for.
    async fn lose_something(&mut self) {
        let index = self.rng.random_range(0..self.provider_count);
        let is_running = self.net.is_running(index);
        if !is_running || !self.may_lose(index) {
            return self.crash(index).await;
        }
        self.flaws.was_anything_lost = true;
        self.flaws.manifest_bad.insert(index);
        for expected in self.snapshots.values_mut() {
            expected.bad.insert(index);
        }
        match self.rng.random_range(0..4) {
            0 => {
                self.story.tell(format_args!("  provider {index} is wiped, and comes back as another"));
                self.recover_from(index).await;
                self.net.wipe(index).unwrap();
                self.flaws.silent_losses.remove(&index);
                self.flaws.hollow.remove(&index);
                self.net.revive(index).await;
            }
            1 => {
                self.story.tell(format_args!("  provider {index} keeps nothing of what it says it keeps"));
                self.flaws.hollow.insert(index);
                self.flaws.silent_losses.insert(index);
                self.net.disk(index).set_hollow(Some("blobs".into()));
            }
            2 => {
                let lost = self.evict(index).await;
                self.story.tell(format_args!("  provider {index} evicts {lost} blobs"));
            }
            _ => {
                let how = *Spoil::ALL.choose(&mut self.rng).unwrap();
                let count = self.net.spoil(index, how);
                self.story.tell(format_args!("  {count} blobs of provider {index} are spoiled: {how:?}"));
                self.flaws.silent_losses.insert(index);
            }
        }
    }

    /// A provider drops blobs that it promised to keep, and knows it.
    async fn evict(&mut self, index: usize) -> usize {
        self.net.kill(index);
        let lost = self.net.lose_blobs(index);
        self.revive(index).await;
        lost
    }

    /// The machine of a provider loses power; what it has acknowledged must be there afterwards.
    async fn crash(&mut self, index: usize) {
        if !self.net.is_running(index) {
            return;
        }
        let unsynced =
            if self.rng.random_bool(0.5) { Unsynced::Lost } else { Unsynced::Torn(self.rng.random()) };
        self.story.tell(format_args!("  provider {index} loses power: {unsynced:?}"));
        self.net.crash(index, unsynced);
        self.revive(index).await;
    }

    /// Starts a provider again as it was; what is wrong with it is wrong still.
    async fn revive(&mut self, index: usize) {
        self.recover_from(index).await;
        self.net.revive(index).await;
        let hollow = self.flaws.hollow.contains(&index).then(|| "blobs".into());
        self.net.disk(index).set_hollow(hollow);
    }

    /// Has a random provider's disk fail, or its machine stop, at some step of what comes next.
    pub(crate) fn arm_disk(&mut self) -> Option<usize> {
        let index = self.rng.random_range(0..self.provider_count);
        if !self.net.is_running(index) || self.flaws.ailing[index].is_some() || !self.rng.random_bool(0.3) {
            return None;
        }
        let disk = self.net.disk(index);
        let at = disk.op_count() + self.rng.random_range(0..60);
        let is_crash = self.rng.random_bool(0.6);
        if is_crash {
            disk.crash_at(at);
        } else {
            disk.fail_at(at);
        }
        let what = if is_crash { "stops" } else { "has a disk error" };
        self.story.tell(format_args!("  provider {index} {what} at disk operation {at}"));
        self.flaws.is_disk_failing = true;
        Some(index)
    }

    /// A machine that had trouble with its disk starts again with what that has kept.
    pub(crate) async fn disarm_disk(&mut self, armed: Option<usize>) {
        self.flaws.is_disk_failing = false;
        match armed {
            Some(index) if self.net.is_running(index) => self.crash(index).await,
            // Somebody who has left meanwhile comes back with a disk that works.
            Some(index) => self.net.crash(index, Unsynced::Lost),
            None => {}
        }
    }

    /// Faults stop. What was lost stays lost.
    pub(crate) async fn heal(&mut self) {
        self.story.tell("faults stop");
        for relay in 0..self.relay_count {
            self.set_weather(relay, Weather::Fine);
        }
        for index in 0..self.provider_count {
            self.recover_from(index).await;
            self.net.disk(index).set_hollow(None);
        }
        self.flaws.hollow.clear();
        // Everybody announces itself again: within minutes who found a relay gone, within the hour who was forgotten
        // by one.
        tokio::time::sleep(Duration::from_secs(3_700)).await;
    }
}
