//! The laws of placement.

use proptest::prelude::*;

use super::*;

fn id(number: u8) -> ProviderId {
    ProviderId::new([number; 32])
}

fn candidate(number: u8, standing: Standing, cost: u32) -> Candidate {
    let score = Score { blame: 0, cost };
    Candidate { provider: id(number), standing, score, operator: None, relays: BTreeSet::new() }
}

fn run_by(operator: &str, candidate: Candidate) -> Candidate {
    Candidate { operator: Some(operator.to_owned()), ..candidate }
}

fn on(relays: &[&str], candidate: Candidate) -> Candidate {
    let relays = relays.iter().map(|relay| RelayUrl::parse(&format!("ws://{relay}.invalid")).unwrap());
    Candidate { relays: relays.collect(), ..candidate }
}

fn chosen(candidates: Vec<Candidate>, spread: usize) -> Vec<ProviderId> {
    Placement::plan(candidates, spread).unwrap().chosen()
}

#[test]
fn fewer_candidates_than_the_spread_make_no_placement() {
    let twice_the_same = vec![candidate(1, Standing::Known, 1), candidate(1, Standing::Known, 2)];
    assert!(Placement::plan(twice_the_same, 2).is_none());
    assert!(Placement::plan(vec![], 1).is_none());
    let banned = vec![candidate(1, Standing::Known, 1), candidate(2, Standing::Banned, 0)];
    assert!(Placement::plan(banned, 2).is_none());
}

#[test]
fn newcomers_come_last_however_fast_they_are() {
    let candidates = vec![
        candidate(1, Standing::Newcomer, 0),
        candidate(2, Standing::Known, 9),
        candidate(3, Standing::Trusted, 9),
        candidate(4, Standing::Newcomer, 1),
    ];
    let placement = Placement::plan(candidates, 3).unwrap();
    assert_eq!(placement.chosen(), [3, 2, 1].map(id));
    assert_eq!(placement.newcomers(), 1);
}

#[test]
fn the_good_come_before_the_fast() {
    let mut blamed = candidate(1, Standing::Known, 0);
    blamed.score.blame = 2;
    assert_eq!(chosen(vec![blamed, candidate(2, Standing::Known, 9)], 1), [id(2)]);
}

#[test]
fn one_operator_gets_two_shards_of_a_pack_only_if_there_is_no_other_way() {
    let candidates = vec![
        run_by("ada", candidate(1, Standing::Trusted, 0)),
        run_by("ada", candidate(2, Standing::Trusted, 0)),
        candidate(3, Standing::Known, 9),
        candidate(4, Standing::Newcomer, 9),
    ];
    assert_eq!(chosen(candidates.clone(), 3), [1, 3, 4].map(id));
    assert_eq!(chosen(candidates[..3].to_vec(), 3), [1, 3, 2].map(id));
    let placement = Placement::plan(candidates, 2).unwrap();
    assert_eq!(placement.spare(&[id(1), id(3)].into(), &Avoid::default()), Some(id(4)));
}

#[test]
fn a_second_newcomer_comes_even_after_a_second_provider_of_one_operator() {
    let candidates = vec![
        run_by("ada", candidate(1, Standing::Known, 0)),
        run_by("ada", candidate(2, Standing::Known, 0)),
        candidate(3, Standing::Newcomer, 0),
        candidate(4, Standing::Newcomer, 0),
    ];
    assert_eq!(chosen(candidates, 3), [1, 3, 2].map(id));
}

#[test]
fn shards_are_not_all_behind_one_relay_where_that_costs_only_time() {
    let mut candidates = vec![
        on(&["one"], candidate(1, Standing::Known, 0)),
        on(&["one"], candidate(2, Standing::Known, 0)),
        on(&["one", "other"], candidate(3, Standing::Known, 9)),
    ];
    assert_eq!(chosen(candidates.clone(), 2), [1, 3].map(id));
    candidates[2].score.blame = 1;
    assert_eq!(chosen(candidates, 2), [1, 2].map(id));
}

#[test]
fn every_turn_gives_each_provider_one_shard() {
    let placement = Placement::plan((1..=5).map(|n| candidate(n, Standing::Known, 1)).collect(), 4).unwrap();
    for pack_number in 0..9 {
        let distinct: BTreeSet<_> = placement.turn(pack_number, &Avoid::default()).into_iter().collect();
        assert_eq!(distinct, placement.chosen().into_iter().collect());
    }
    assert_ne!(placement.turn(0, &Avoid::default()), placement.turn(1, &Avoid::default()));
}

#[test]
fn who_is_late_gets_shards_only_where_nobody_else_is_left() {
    let placement = Placement::plan((1..=4).map(|n| candidate(n, Standing::Known, 1)).collect(), 3).unwrap();
    let avoid = Avoid { suspect: [id(1)].into(), ..Avoid::default() };
    assert_eq!(placement.turn(0, &avoid), [2, 3, 4].map(id));
    let avoid = Avoid { down: [id(2)].into(), ..avoid };
    assert_eq!(placement.turn(0, &avoid), [3, 4, 1].map(id));
    assert_eq!(placement.spare(&[id(3), id(4)].into(), &avoid), Some(id(1)));
    assert_eq!(placement.spare(&[id(1), id(3), id(4)].into(), &avoid), None);
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let standing =
        prop::sample::select(vec![Standing::Trusted, Standing::Known, Standing::Newcomer, Standing::Banned]);
    (0..12_u8, standing, 0..3_u32, 0..3_u32, prop::option::of(0..3_u8), 0..3_u8).prop_map(
        |(number, standing, blame, cost, operator, relay)| Candidate {
            operator: operator.map(|name| name.to_string()),
            score: Score { blame, cost },
            ..on(&[["one", "two", "three"][usize::from(relay)]], candidate(number, standing, 0))
        },
    )
}

proptest! {
    /// Whoever is there, and whoever fails: the shards of a pack go to distinct providers, none of them banned or down;
    /// one more newcomer gets a shard only when nobody else is left, and nobody is left over while shards have no place.
    #[test]
    fn shards_of_a_pack_have_distinct_places(
        candidates in prop::collection::vec(any_candidate(), 0..16),
        spread in 1..6_usize,
        down in prop::collection::btree_set((0..12_u8).prop_map(id), 0..4),
        suspect in prop::collection::btree_set((0..12_u8).prop_map(id), 0..4),
        pack_number: usize,
    ) {
        let usable: BTreeSet<_> = candidates
            .iter()
            .filter(|candidate| candidate.standing != Standing::Banned)
            .map(|candidate| candidate.provider)
            .collect();
        let avoid = Avoid { down, suspect };
        let Some(placement) = Placement::plan(candidates, spread) else {
            prop_assert!(usable.len() < spread);
            return Ok(());
        };
        let standing: std::collections::BTreeMap<_, _> =
            placement.ranked.iter().map(|candidate| (candidate.provider, candidate.standing)).collect();
        let turn = placement.turn(pack_number, &avoid);
        let taken: BTreeSet<_> = turn.iter().copied().collect();
        let up: BTreeSet<_> = usable.difference(&avoid.down).copied().collect();
        prop_assert_eq!(taken.len(), turn.len());
        prop_assert_eq!(turn.len(), spread.min(up.len()));
        prop_assert!(taken.is_subset(&up));
        let is_newcomer = |provider: &&ProviderId| standing[*provider] == Standing::Newcomer;
        let others_left = up.difference(&taken).filter(|provider| !avoid.suspect.contains(provider));
        if taken.iter().filter(|provider| !avoid.suspect.contains(provider)).filter(is_newcomer).count() > 1 {
            prop_assert!(others_left.clone().all(|provider| is_newcomer(&provider)));
        }
        match placement.spare(&taken, &avoid) {
            Some(spare) => {
                prop_assert!(!taken.contains(&spare) && up.contains(&spare));
                prop_assert!(!avoid.suspect.contains(&spare) || others_left.count() == 0);
            }
            None => prop_assert_eq!(taken, up),
        }
    }
}
