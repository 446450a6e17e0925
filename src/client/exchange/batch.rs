//! Questions about blobs, one or many: is it there, keep it longer, drop it, what is mine, are you there.

use std::time::Duration;

use crate::client::exchange::drive::{Drive, now};
use crate::client::exchange::link::Link;
use crate::client::exchange::switch::Chunks;
use crate::client::exchange::{Exchange, ExchangeError};
use crate::session::{AskSession, Pace};
use crate::types::limits::{BATCH_COUNT_MAX, EVENT_LEN_MAX};
use crate::types::{BlobHash, ProviderId, Timestamp};
use crate::vault::Deed;
use crate::wire::{Action, Answer, Claim, ErrorCode, Extension, Hashes, ItemsOf, Promise, Request};

/// Stands in errors about several blobs.
const SEVERAL: BlobHash = BlobHash::new([0; 32]);

impl Exchange {
    /// Whether the provider answers at all, and how long that takes. Any answer counts, a refusal too.
    pub async fn probe(&self, provider: ProviderId, deadline: Duration) -> Result<Duration, ExchangeError> {
        let link = self.link(provider)?;
        self.judged(&link, link.probe(deadline)).await
    }

    /// Whether blobs are there, and until when, in the order of `hashes`.
    ///
    /// A provider without the extension `stat` is asked for the blobs themselves, which are verified.
    pub async fn stat(
        &self,
        provider: ProviderId,
        hashes: &[BlobHash],
    ) -> Result<Vec<Option<Promise>>, ExchangeError> {
        let link = self.link(provider)?;
        if link.terms.speaks(Extension::Stat) {
            let pace = link.pace(EVENT_LEN_MAX);
            return self.judged(&link, link.ask_items(hashes, ItemsOf::Stat, Action::Stat, pace)).await;
        }
        let mut items = Vec::with_capacity(hashes.len());
        for hash in hashes {
            items.push(match self.fetch_promised(provider, *hash, None, None).await {
                Ok((blob, expires)) => {
                    let expires = expires.unwrap_or(Timestamp(0));
                    Some(Promise { size: blob.bytes().len() as u64, expires })
                }
                Err(error) if error.code() == Some(&ErrorCode::FileNotFound) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(items)
    }

    /// As [`stat`](Self::stat), of a provider that was heard in this run and that others wait for: it is given up as
    /// soon as it is clear that it answers nothing any more. A provider without the extension gets its usual time,
    /// because it moves whole blobs.
    pub(crate) async fn stat_hastily(
        &self,
        provider: ProviderId,
        hashes: &[BlobHash],
    ) -> Result<Vec<Option<Promise>>, ExchangeError> {
        let link = self.link(provider)?;
        if !link.terms.speaks(Extension::Stat) {
            return self.stat(provider, hashes).await;
        }
        let (asked, pace) = (now(), link.hasty_pace());
        let answer = link.ask_items(hashes, ItemsOf::Stat, Action::Stat, pace).await;
        if matches!(answer, Err(ExchangeError::Silent { .. })) {
            self.late(provider, asked);
            return answer;
        }
        self.judge(&link, asked, &answer, |took| Deed::Answered { took });
        answer
    }

    /// Keeps blobs longer: for `retention` from now, or as long as the provider announces. `None` where it has not
    /// got the blob.
    pub async fn renew(
        &self,
        provider: ProviderId,
        hashes: &[BlobHash],
        retention: Option<Duration>,
    ) -> Result<Vec<Option<Promise>>, ExchangeError> {
        let link = self.link(provider)?;
        link.expect(Extension::Renew)?;
        let retention = retention.filter(|_| link.terms.speaks(Extension::Retain));
        let pace = link.pace(EVENT_LEN_MAX);
        let action = |hashes| Action::Renew { hashes, retention };
        let renewing = link.ask_items(hashes, ItemsOf::Renew, action, pace);
        self.judged(&link, renewing).await
    }

    /// Drops the claims on blobs. Whether there was one, in the order of `hashes`.
    pub async fn delete(
        &self,
        provider: ProviderId,
        hashes: &[BlobHash],
    ) -> Result<Vec<bool>, ExchangeError> {
        let link = self.link(provider)?;
        if link.terms.speaks(Extension::Batch) {
            let pace = link.pace(EVENT_LEN_MAX);
            let deleting = link.ask_items(hashes, ItemsOf::Delete, Action::Delete, pace);
            let items = self.judged(&link, deleting).await?;
            return Ok(items.iter().map(Option::is_some).collect());
        }
        let mut had_claims = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let asking = link.ask(Action::Delete(Hashes::One(*hash)), *hash);
            had_claims.push(match self.judged(&link, asking).await {
                Ok(Answer::Deleted(deleted)) if deleted == *hash => true,
                Ok(_) => return Err(ExchangeError::Corrupt { provider, hash: *hash }),
                Err(error) if error.code() == Some(&ErrorCode::FileNotFound) => false,
                Err(error) => return Err(error),
            });
        }
        Ok(had_claims)
    }

    /// One page of the claims of the key that speaks to this provider, ascending, after `after`. Whether there are
    /// more.
    pub async fn list_page(
        &self,
        provider: ProviderId,
        after: Option<BlobHash>,
    ) -> Result<(Vec<Claim>, bool), ExchangeError> {
        let link = self.link(provider)?;
        link.expect(Extension::List)?;
        match self.judged(&link, link.ask(Action::List { after, limit: None }, SEVERAL)).await? {
            Answer::Listed { claims, more }
                if claims.first().is_none_or(|claim| Some(claim.hash) > after) =>
            {
                Ok((claims, more))
            }
            _ => Err(ExchangeError::Corrupt { provider, hash: SEVERAL }),
        }
    }

    /// All claims of the key that speaks to this provider, but at most `count_max` of them.
    pub async fn list(&self, provider: ProviderId, count_max: usize) -> Result<Vec<Claim>, ExchangeError> {
        let mut all: Vec<Claim> = Vec::new();
        loop {
            let (page, more) = self.list_page(provider, all.last().map(|claim| claim.hash)).await?;
            let is_end = !more || page.is_empty();
            all.extend(page);
            if is_end || all.len() >= count_max {
                all.truncate(count_max);
                return Ok(all);
            }
        }
    }

    /// Awaits an answer, and notes how that went.
    pub(super) async fn judged<T>(
        &self,
        link: &Link,
        asking: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<T, ExchangeError> {
        let started = now();
        let outcome = asking.await;
        self.judge(link, started, &outcome, |took| Deed::Answered { took });
        outcome
    }
}

impl Link {
    /// Asks about a blob that nobody has; whatever comes back shows that somebody is there.
    pub(super) async fn probe(&self, deadline: Duration) -> Result<Duration, ExchangeError> {
        let mut nothing = [0; 32];
        nothing[..8].copy_from_slice(&self.random().to_le_bytes());
        let hashes = Hashes::One(BlobHash::new(nothing));
        let action = if self.terms.speaks(Extension::Stat) {
            Action::Stat(hashes)
        } else {
            Action::Retrieve { hashes, ranges: None }
        };
        let pace = self.pace(EVENT_LEN_MAX);
        // Where a relay loses some messages, nobody who is there may be taken for absent.
        let retry_first = pace.retry_first.min(deadline / 8);
        let pace = Pace { retry_first, retry_max: retry_first * 2, stall_timeout: deadline };
        let started = now();
        if !self.is_stranger()
            && let Some(direct) = self.direct(pace.stall_timeout).await?
            && direct.probe(BlobHash::new(nothing), pace).await?.is_some()
        {
            return Ok(now() - started);
        }
        match self.ask_over_relays(self.request(action), SEVERAL, pace).await {
            Ok(_) | Err(ExchangeError::Refused { .. }) => Ok(now() - started),
            Err(error) => Err(error),
        }
    }

    /// Fails if the provider does not speak an extension.
    fn expect(&self, extension: Extension) -> Result<(), ExchangeError> {
        if self.terms.speaks(extension) {
            return Ok(());
        }
        Err(ExchangeError::Unsupported { provider: self.id, extension: extension.as_str() })
    }

    async fn ask(&self, action: Action, about: BlobHash) -> Result<Answer, ExchangeError> {
        self.ask_at(action, about, self.pace(EVENT_LEN_MAX)).await
    }

    async fn ask_at(&self, action: Action, about: BlobHash, pace: Pace) -> Result<Answer, ExchangeError> {
        let request = self.request(action);
        if let Some(direct) = self.direct(pace.stall_timeout).await?
            && let Some(answer) = direct.ask(&request.action, request.number, about, pace).await?
        {
            return Ok(answer);
        }
        self.ask_over_relays(request, about, pace).await
    }

    async fn ask_over_relays(
        &self,
        request: Request,
        about: BlobHash,
        pace: Pace,
    ) -> Result<Answer, ExchangeError> {
        let draft = request.to_draft();
        let session = AskSession::<Answer>::new(pace, self.random(), now());
        let drive = Drive::new(self, self.switch.line(Chunks::None, 0), about);
        drive.run(session, |number| (draft.clone(), Some(number))).await.map(|outcome| outcome.output)
    }

    /// Asks for one item for each hash, in batches where the provider takes them.
    async fn ask_items(
        &self,
        hashes: &[BlobHash],
        wanted: ItemsOf,
        action: impl Fn(Hashes) -> Action,
        pace: Pace,
    ) -> Result<Vec<Option<Promise>>, ExchangeError> {
        let is_batched = self.terms.speaks(Extension::Batch);
        let mut all = Vec::with_capacity(hashes.len());
        for part in hashes.chunks(if is_batched { BATCH_COUNT_MAX } else { 1 }) {
            let named = if is_batched { Hashes::Many(part.to_vec()) } else { Hashes::One(part[0]) };
            match self.ask_at(action(named), SEVERAL, pace).await? {
                Answer::Items { of, items } if of == wanted && items.len() == part.len() => all.extend(items),
                _ => return Err(ExchangeError::Corrupt { provider: self.id, hash: SEVERAL }),
            }
        }
        Ok(all)
    }
}
