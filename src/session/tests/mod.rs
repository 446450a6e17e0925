//! Two halves of a conversation over a lossy virtual link, on virtual time: thousands of runs, each exact by its seed.

mod fetch;
mod link;
mod store;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::session::{AskSession, Failure, Pace, Step, Try, fuzz};
use crate::types::BlobHash;
use crate::wire::{Answer, ErrorCode, Status, StatusKind};

/// Where a run begins.
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin: only differences matter")]
fn instant() -> Instant {
    Instant::now()
}

fn status(kind: StatusKind) -> Status {
    let request = nostr::EventId::all_zeros();
    let requester = crate::types::ClientId::new([0; 32]);
    Status { request, requester, number: None, kind, text: "so it is".into() }
}

#[test]
fn an_ask_that_is_never_answered_ends_in_silence_after_the_stall_timeout() {
    let start = instant();
    for seed in 0..200 {
        let mut session = AskSession::<Answer>::new(Pace::default(), seed, start);
        let (mut now, mut tries) = (start, 0);
        let failure = loop {
            match session.step(now) {
                Step::Send(_) => tries += 1,
                Step::Wait(until) => {
                    assert!(until > now, "seed {seed}: a wait moves on");
                    now = until;
                }
                Step::Done(outcome) => break outcome.unwrap_err(),
            }
            session.status(&status(StatusKind::Processing), now);
        };
        assert_eq!(failure, Failure::Silent);
        assert_eq!(now - start, Pace::default().stall_timeout);
        assert!((8..=20).contains(&tries), "seed {seed}: {tries} tries");
    }
}

#[test]
fn a_refusal_ends_an_ask_only_if_a_retry_is_of_no_use() {
    let now = instant();
    let mut session = AskSession::<Answer>::new(Pace::default(), 1, now);
    assert_eq!(session.step(now), Step::Send(Try(0)));
    session.status(&status(StatusKind::Error(ErrorCode::Busy)), now);
    let Step::Wait(until) = session.step(now) else { panic!("a busy provider is asked again later") };
    assert_eq!(session.step(until), Step::Send(Try(1)));
    session.status(&status(StatusKind::Error(ErrorCode::StorageFull)), until);
    let Step::Done(Err(Failure::Refused { code, .. })) = session.step(until) else { panic!("full is full") };
    assert_eq!(code, ErrorCode::StorageFull);
}

#[test]
fn a_provider_that_is_always_busy_is_named_as_busy_in_the_end() {
    let start = instant();
    let mut session = AskSession::<Answer>::new(Pace::default(), 1, start);
    let mut now = start;
    let failure = loop {
        match session.step(now) {
            Step::Send(_) => session.status(&status(StatusKind::Error(ErrorCode::Busy)), now),
            Step::Wait(until) => now = until,
            Step::Done(outcome) => break outcome.unwrap_err(),
        }
    };
    assert!(matches!(failure, Failure::Refused { code: ErrorCode::Busy, .. }));
    assert!(now - start <= Pace::default().stall_timeout + Duration::from_secs(1));
}

#[test]
fn the_first_answer_counts() {
    let now = instant();
    let mut session = AskSession::<Answer>::new(Pace::default(), 1, now);
    session.answer(Answer::Deleted(BlobHash::new([1; 32])));
    session.answer(Answer::Deleted(BlobHash::new([2; 32])));
    assert_eq!(session.step(now), Step::Done(Ok(Answer::Deleted(BlobHash::new([1; 32])))));
}

#[test]
fn every_conversation_ends_whatever_the_other_side_does() {
    let start = instant();
    for seed in 0..2_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut script = vec![0; rng.random_range(0..600)];
        rng.fill_bytes(&mut script);
        for (_, target) in fuzz::TARGETS {
            target(&script, start);
        }
    }
}
