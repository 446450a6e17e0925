//! A check: is everything there that the vault relies on, where it should be, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::audit::Tally as AuditTally;
use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::error::{ClientError, Failure};
use crate::client::health::kept::{ASKED_TOGETHER, KeptPack};
use crate::client::health::state::Verdict;
use crate::client::health::survey::{Examined, Foreknown};
use crate::client::health::suspects::Pools;
use crate::client::health::tally::{Listing, Tally};
use crate::client::roster::Roster;
use crate::format::Head;
use crate::types::{PackId, ProviderId, SnapshotId};
use crate::vault::Deed;

/// A promise that ends sooner is expiring: who does not renew it within that time loses it.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What is checked, and how.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// This snapshot alone; everything, the manifests included, where `None`.
    pub snapshot: Option<SnapshotId>,
    /// How deep to look.
    pub depth: Depth,
    /// Which packs are listed one by one.
    pub listing: Listing,
}

/// How deep a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Providers are asked, and believed.
    Ask,
    /// So many percent of all shards are fetched and compared.
    Read {
        /// 1 to 100.
        percent: u8,
    },
    /// So many random samples of what each provider keeps are to be proved.
    Audit {
        /// Samples for each provider.
        count: u32,
    },
}

/// What a check has found.
#[derive(Debug, Default)]
pub struct CheckOutcome {
    /// Packs, shards, providers.
    pub tally: Tally,
    /// Snapshots that need packs which are not healthy: how many of each, and how the worst stands.
    pub weak_snapshots: BTreeMap<SnapshotId, (u64, Verdict)>,
    /// Audits, by provider.
    pub audits: BTreeMap<ProviderId, AuditTally>,
    /// Bytes of blobs and proofs that were moved to find out.
    pub bytes_moved: u64,
    /// Providers that did not answer or failed.
    pub failures: Vec<Failure>,
}

/// The packs that are looked after, and who is there to be asked.
pub(crate) struct Charge {
    /// Packs of files' bytes, in the order of their records.
    pub(crate) packs: Vec<PackId>,
    /// Packs that are needed and recorded nowhere: nobody knows where their shards are.
    unrecorded: BTreeSet<PackId>,
    /// The heads of all devices.
    pub(crate) caught: CaughtUp,
    /// Whether what the heads lead to is looked after too.
    with_manifests: bool,
    pub(crate) roster: Roster,
    pub(crate) foreknown: Foreknown,
    pub(crate) listing: Listing,
}

impl Charge {
    /// Heads whose packs are looked after.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Head> {
        self.caught.heads.values().filter(|_| self.with_manifests)
    }
}

impl Depth {
    /// Samples of each provider.
    fn samples(self) -> u32 {
        match self {
            Self::Audit { count } => count,
            Self::Ask | Self::Read { .. } => 0,
        }
    }
}

impl CheckOutcome {
    /// How the worst pack stands.
    pub fn worst(&self) -> Verdict {
        self.tally.weak.values().max().copied().unwrap_or(Verdict::Healthy)
    }
}

impl Client {
    /// Checks what the vault, or one of its snapshots, relies on. What is found missing or wrong is remembered, so that
    /// a repair finds it.
    pub async fn check(&mut self, options: &CheckOptions) -> Result<CheckOutcome, ClientError> {
        let mut charge = self.charge_for(options.snapshot).await?;
        charge.listing = options.listing;
        let mut outcome = CheckOutcome::default();
        let done = self.examine(options.depth, &mut charge, &mut outcome).await;
        self.remember_deeds();
        done?;
        self.find_weak_snapshots(options.snapshot, &mut outcome)?;
        Ok(outcome)
    }

    /// Looks at everything that is looked after. Where a sample cannot be proved, all that its provider keeps is.
    pub(crate) async fn examine(
        &self,
        depth: Depth,
        charge: &mut Charge,
        outcome: &mut CheckOutcome,
    ) -> Result<(), ClientError> {
        outcome.failures.extend(charge.roster.failures.iter().cloned());
        let mut pools = Pools::new(depth.samples());
        self.look_at_all(depth, charge, &mut pools, outcome).await?;
        let audits = self.audit_pools(pools).await;
        outcome.bytes_moved += audits.bytes_moved;
        outcome.failures.extend(audits.failures);
        outcome.audits = audits.tallies;
        if !audits.blemishes.is_empty() {
            // One sample that failed says nothing about which others would: now all are asked for.
            charge.foreknown.blemishes.extend(audits.blemishes);
            outcome.bytes_moved +=
                self.audit_suspects(&mut charge.foreknown, &charge.packs, &charge.roster).await?;
            outcome.tally = Tally::default();
            self.look_at_all(Depth::Ask, charge, &mut Pools::new(0), outcome).await?;
        }
        Ok(())
    }

    /// Goes through everything that is looked after, part by part.
    async fn look_at_all(
        &self,
        depth: Depth,
        charge: &Charge,
        pools: &mut Pools,
        outcome: &mut CheckOutcome,
    ) -> Result<(), ClientError> {
        charge.unrecorded.iter().for_each(|pack| outcome.tally.add_unrecorded(*pack));
        for part in charge.packs.chunks(ASKED_TOGETHER) {
            let packs = self.kept_packs(part)?;
            self.look_at(packs, depth, charge, pools, outcome).await?;
        }
        let manifests = self.manifest_packs(charge.heads(), &charge.roster).await;
        self.look_at(manifests, depth, charge, pools, outcome).await
    }

    /// What is to be looked after, after catching up; and hears who answers of those who keep any of it.
    pub(crate) async fn charge_for(&mut self, snapshot: Option<SnapshotId>) -> Result<Charge, ClientError> {
        let caught = self.catch_up().await?;
        let mut charge = self.charge_with(caught, snapshot)?;
        let providers = self.keepers(&charge)?;
        charge.roster = Roster::of(self, &providers, providers.len()).await?;
        Ok(charge)
    }

    /// What is to be looked after: everything that live snapshots need and all manifests, or what one snapshot needs.
    pub(crate) fn charge_with(
        &self,
        mut caught: CaughtUp,
        snapshot: Option<SnapshotId>,
    ) -> Result<Charge, ClientError> {
        // As it was published last, should relays have an older one.
        let own = self.vault.head()?;
        caught.heads.extend(own.into_iter().map(|head| (head.device, head)));
        let mut unrecorded = match snapshot {
            Some(snapshot) => self.vault.needs(&snapshot)?,
            None => self.vault.needed_packs()?,
        };
        let foreknown = Foreknown { blemishes: self.vault.blemishes()?, excused: BTreeSet::new() };
        let packs = self.in_order(&unrecorded)?;
        for pack in &packs {
            unrecorded.remove(pack);
        }
        let roster = Roster::default();
        Ok(Charge {
            packs,
            unrecorded,
            caught,
            with_manifests: snapshot.is_none(),
            roster,
            foreknown,
            listing: Listing::Weak,
        })
    }

    /// Who keeps any of it.
    pub(crate) fn keepers(&self, charge: &Charge) -> Result<BTreeSet<ProviderId>, ClientError> {
        let mut providers = self.vault.providers_with_history()?;
        providers.extend(self.vault.providers_heard_of()?);
        providers.extend(charge.caught.heads.values().flat_map(|head| head.providers.iter().copied()));
        Ok(providers)
    }

    async fn look_at(
        &self,
        packs: Vec<KeptPack>,
        depth: Depth,
        charge: &Charge,
        pools: &mut Pools,
        outcome: &mut CheckOutcome,
    ) -> Result<(), ClientError> {
        let mut examined = self.survey(packs, &charge.foreknown, &charge.roster, &mut outcome.failures).await;
        if let Depth::Read { percent } = depth {
            outcome.bytes_moved += self.read_shards(&mut examined, percent, &mut outcome.failures).await;
        }
        let soon = self.env.now().saturating_add(SOON);
        let mut rng = self.env.rng();
        for one in &examined {
            outcome.tally.add(one, charge.listing, soon);
            pools.add(one, &mut rng);
        }
        let blemishes: Vec<_> = examined.iter().flat_map(Examined::blemishes).collect();
        for new in blemishes.iter().filter(|blemish| !charge.foreknown.blemishes.contains(blemish)) {
            self.exchange.note(new.provider, if new.is_corrupt { Deed::Corrupt } else { Deed::Lost });
        }
        self.vault.note_blemishes(&blemishes)?;
        let healed: BTreeSet<_> = examined.iter().flat_map(Examined::there).collect();
        Ok(self.vault.clear_blemishes(|it| healed.contains(&(it.pack, it.shard, it.provider)))?)
    }

    /// Snapshots that need packs which are not healthy.
    fn find_weak_snapshots(
        &self,
        only: Option<SnapshotId>,
        outcome: &mut CheckOutcome,
    ) -> Result<(), ClientError> {
        let weak: BTreeSet<_> = outcome.tally.weak.keys().copied().collect();
        if weak.is_empty() {
            return Ok(());
        }
        let mut snapshots = self.vault.live_snapshots_with_needs()?;
        snapshots.retain(|it| only.is_none_or(|only| only == *it));
        let needs = self.vault.needs_among(&snapshots, &weak)?;
        for snapshot in snapshots {
            for verdict in needs.of(&snapshot).iter().filter_map(|pack| outcome.tally.weak.get(pack)) {
                let weak = outcome.weak_snapshots.entry(snapshot).or_insert((0, *verdict));
                *weak = (weak.0 + 1, weak.1.max(*verdict));
            }
        }
        Ok(())
    }
}
