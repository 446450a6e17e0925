//! What a provider remembers of the recent past: events that it has seen, and what it answered to deletes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nostr::EventId;

use crate::types::ClientId;
use crate::types::limits::{REMEMBERED_ANSWER_COUNT_MAX, SEEN_EVENT_COUNT_MAX};
use crate::wire::{Answer, RequestNumber};

/// Ids of recent requests: relays repeat them, and so may anyone who listens.
#[derive(Debug, Default)]
pub(super) struct SeenRequests {
    ids: BTreeSet<EventId>,
    order: VecDeque<EventId>,
}

impl SeenRequests {
    /// Remembers an id; whether it is new, as far as is remembered.
    pub(super) fn insert(&mut self, id: EventId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > SEEN_EVENT_COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }
}

/// Requests that cannot be carried out a second time, and their answers.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// `None`: the request is under way. Of these there are no more than requests are taken on.
    answers: BTreeMap<(ClientId, RequestNumber), Option<Answer>>,
    order: VecDeque<(ClientId, RequestNumber)>,
}

/// What is known of a request when one of its tries comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begin {
    New,
    UnderWay,
    Answered(Answer),
}

impl Answered {
    /// A try has come.
    pub(super) fn begin(&mut self, client: ClientId, number: RequestNumber) -> Begin {
        match self.answers.get(&(client, number)) {
            Some(Some(answer)) => Begin::Answered(answer.clone()),
            Some(None) => Begin::UnderWay,
            None => {
                self.answers.insert((client, number), None);
                Begin::New
            }
        }
    }

    /// The request that was begun has come to its end; one that failed may be tried again.
    pub(super) fn end(&mut self, client: ClientId, number: RequestNumber, answer: Option<&Answer>) {
        let Some(answer) = answer else {
            self.answers.remove(&(client, number));
            return;
        };
        self.answers.insert((client, number), Some(answer.clone()));
        self.order.push_back((client, number));
        if self.order.len() > REMEMBERED_ANSWER_COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlobHash;

    #[test]
    fn seen_requests_are_bounded_and_the_newest_are_known() {
        let mut seen = SeenRequests::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            EventId::from_byte_array(bytes)
        };
        for number in 0..SEEN_EVENT_COUNT_MAX + 100 {
            assert!(seen.insert(id(number)));
            assert!(seen.count() <= SEEN_EVENT_COUNT_MAX);
        }
        assert!(!seen.insert(id(100)));
        assert!(seen.insert(id(99)));
    }

    #[test]
    fn remembered_answers_are_bounded_and_the_newest_are_known() {
        let mut answered = Answered::default();
        let (client, answer) = (ClientId::new([1; 32]), Answer::Deleted(BlobHash::of(b"")));
        let count = REMEMBERED_ANSWER_COUNT_MAX as u64;
        for number in (0..count + 10).map(RequestNumber) {
            assert_eq!(answered.begin(client, number), Begin::New);
            assert_eq!(answered.begin(client, number), Begin::UnderWay);
            answered.end(client, number, Some(&answer));
            assert!(answered.count() <= REMEMBERED_ANSWER_COUNT_MAX);
        }
        assert_eq!(answered.begin(client, RequestNumber(10)), Begin::Answered(answer));
        assert_eq!(answered.begin(client, RequestNumber(9)), Begin::New);
        answered.end(client, RequestNumber(9), None);
        assert_eq!(
            answered.begin(client, RequestNumber(9)),
            Begin::New,
            "a request that failed may be tried again"
        );
    }
}
