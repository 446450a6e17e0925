//! Who is away, and since when. A short absence moves no data: most who are away come back. PURE.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::{ProviderId, Timestamp};

/// Brings `absent_since` up to date: of `keepers`, those among `present` answered now. Returns those who are away for
/// less than `grace` and are waited for.
pub(crate) fn excused(
    keepers: &BTreeSet<ProviderId>,
    present: impl Fn(&ProviderId) -> bool,
    grace: Duration,
    now: Timestamp,
    absent_since: &mut BTreeMap<ProviderId, Timestamp>,
) -> BTreeSet<ProviderId> {
    absent_since.retain(|provider, _| keepers.contains(provider) && !present(provider));
    let away = keepers.iter().filter(|provider| !present(provider));
    away.filter(|provider| {
        let since = absent_since.entry(**provider).or_insert(now);
        // A clock that went back makes nobody wait for longer than the grace period from now.
        *since = (*since).min(now);
        now.since(*since) < grace
    })
    .copied()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn id(number: u8) -> ProviderId {
        ProviderId::new([number; 32])
    }

    #[test]
    fn who_is_away_is_waited_for_until_the_grace_is_over() {
        let keepers = BTreeSet::from([id(1), id(2)]);
        let mut since = BTreeMap::new();
        let start = Timestamp(1_000_000);
        let mut look = |at, present: &[u8]| {
            let is_present = |provider: &ProviderId| present.iter().any(|number| id(*number) == *provider);
            excused(&keepers, is_present, HOUR * 10, at, &mut since)
        };
        assert_eq!(look(start, &[1, 2]), BTreeSet::new());
        assert_eq!(look(start, &[1]), BTreeSet::from([id(2)]));
        assert_eq!(look(start.saturating_add(HOUR * 9), &[1]), BTreeSet::from([id(2)]));
        assert_eq!(look(start.saturating_add(HOUR * 10), &[1]), BTreeSet::new());
        // It came back, and leaves again: the time counts anew.
        assert_eq!(look(start.saturating_add(HOUR * 11), &[1, 2]), BTreeSet::new());
        assert_eq!(look(start.saturating_add(HOUR * 12), &[1]), BTreeSet::from([id(2)]));
    }

    #[test]
    fn who_keeps_nothing_any_more_is_not_missed() {
        let mut since = BTreeMap::from([(id(3), Timestamp(5))]);
        excused(&BTreeSet::from([id(1)]), |_| false, HOUR, Timestamp(9), &mut since);
        assert_eq!(since, BTreeMap::from([(id(1), Timestamp(9))]));
    }
}
