//! The providers that take what a removal, a prune, a renewal or a repair has to store.

use crate::client::base::Client;
use crate::client::catch_up::CaughtUp;
use crate::client::confirm::{KEEP_FOR, KEEP_FOR_SHORT, Standard};
use crate::client::error::ClientError;
use crate::client::placement::Placement;
use crate::client::roster::Roster;
use crate::client::upload::Uploader;
use crate::erasure::Scheme;
use crate::format::Head;

/// The spread of a vault that has no head yet.
const SPREAD_DEFAULT: u8 = 3;

/// The providers that answered, and the way to store at them.
pub(crate) struct Crew {
    pub(crate) roster: Roster,
    pub(crate) uploader: Uploader,
    pub(crate) standard: Standard,
    /// Whether there are as many as the manifest is usually spread over.
    pub(crate) is_full: bool,
}

impl Client {
    /// Finds all providers that answer, and plans for `spread_wanted` or the spread that this vault's manifest has,
    /// whichever is wider, or for as many as there are: what is let go must not wait for a provider that never comes
    /// back. The next put brings the manifest to its full spread again.
    ///
    /// # Errors
    /// [`ClientError::TooFewProviders`] if fewer than two answer.
    pub(crate) async fn crew(&self, spread_wanted: u8, caught: &CaughtUp) -> Result<Crew, ClientError> {
        let roster = Roster::discover(self, usize::MAX).await?;
        let usual = spread_of(caught).max(spread_wanted);
        let least = usual.min(2);
        let now = self.env.now();
        // The shorter one for a vault that has been put at providers that promise less.
        for keep_for in [KEEP_FOR, KEEP_FOR_SHORT] {
            let mut candidates = roster.candidates();
            candidates.retain(|candidate| {
                roster.members.get(&candidate.provider).is_some_and(|it| it.terms.retention >= keep_for)
            });
            let spread = usual.min(u8::try_from(candidates.len()).unwrap_or(u8::MAX));
            if spread < least {
                continue;
            }
            let Some(placement) = Placement::plan(candidates, usize::from(spread)) else { continue };
            if spread < usual {
                self.monitor.note(&format!(
                    "the record of it is kept at {spread} providers instead of {usual}, until the next put"
                ));
            }
            let scheme = Scheme::for_spread(spread).expect("a spread is at least 1");
            let standard = Standard::new(scheme, keep_for, now);
            let uploader =
                Uploader::new(placement, standard.keep_until, self.exchange.clone(), self.monitor.clone())
                    .journaled(self.vault.unfinished());
            return Ok(Crew { roster, uploader, standard, is_full: spread == usual });
        }
        let (have, wanted) = (roster.members.len(), usize::from(least));
        Err(ClientError::TooFewProviders { have, wanted, failures: roster.failures })
    }
}

impl Client {
    /// Publishes a head if this device has records that no published one carries.
    pub(crate) async fn publish_what_is_new(
        &mut self,
        crew: &Crew,
        caught: &CaughtUp,
    ) -> Result<(), ClientError> {
        if self.is_published(caught) {
            return Ok(());
        }
        self.publish_head(&crew.uploader, &crew.roster, &crew.standard).await
    }

    /// The same for whoever has no providers at hand: they are found if there is anything to publish.
    pub(crate) async fn publish_news(&mut self, caught: &CaughtUp) -> Result<(), ClientError> {
        if self.is_published(caught) {
            return Ok(());
        }
        let crew = self.crew(1, caught).await?;
        self.publish_what_is_new(&crew, caught).await
    }
}

/// The widest spread that a device's manifest has.
fn spread_of(caught: &CaughtUp) -> u8 {
    let last_run = |head: &Head| head.runs.last().map(|run| run.pack.coding.scheme.total());
    caught.heads.values().filter_map(last_run).max().unwrap_or(SPREAD_DEFAULT)
}
