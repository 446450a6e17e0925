//! Where the SDK hands events over.

use std::sync::Weak;

use nostr::util::BoxedFuture;
use nostr::{Event, RelayUrl, SubscriptionId};
use nostr_sdk::pool::policy::{AdmitPolicy, AdmitStatus, PolicyError};

use super::link::Links;

/// Takes each event as soon as the SDK has parsed it, and tells the SDK to forget it.
///
/// So an event is copied once, for the subscription that wants it; it goes into no database; and it passes by the
/// SDK's notifications, a channel in which a burst would be lost. The SDK reads on when this returns.
#[derive(Debug)]
pub(super) struct Intake {
    /// Weak, because the links hold connections, and these hold this.
    pub(super) links: Weak<Links>,
}

impl AdmitPolicy for Intake {
    fn admit_event<'a>(
        &'a self,
        relay_url: &'a RelayUrl,
        subscription_id: &'a SubscriptionId,
        event: &'a Event,
    ) -> BoxedFuture<'a, Result<AdmitStatus, PolicyError>> {
        Box::pin(async move {
            if let Some(link) = self.links.upgrade().as_ref().and_then(|links| links.get(relay_url)) {
                link.receive_event(subscription_id, event);
            }
            Ok(AdmitStatus::Rejected { reason: None })
        })
    }
}
