//! The announcement: at the start, from time to time, and to every relay that comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use nostr::RelayUrl;
use tracing::{info, warn};

use crate::provider::server::Server;
use crate::transport::direct::has_fast_aes;
use crate::types::ChunkLen;
use crate::types::limits::CHUNK_LEN;
use crate::wire::{Announcement, Extension};

/// How long relays have to say that they took it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Where the protocol is written down.
const DOCUMENTATION: &str = "docs/protocol.md in the source of blobdvm";

impl Server {
    /// What this provider announces.
    pub(super) fn announcement(&self) -> Announcement {
        Announcement {
            name: self.options.name.clone(),
            about: self.options.about.clone(),
            max_file_size: self.options.max_file_size,
            chunk_size: CHUNK_LEN,
            chunk_len_max: self.options.chunk_len_max,
            retention: self.options.retention,
            extensions: extensions(
                self.options.chunk_len_max > ChunkLen::BASE,
                !self.endpoints.is_empty() && has_fast_aes(),
            ),
            documentation: DOCUMENTATION.to_owned(),
            relays: self.carrier.relays(),
            endpoints: self.endpoints.clone(),
        }
    }

    /// Announces this provider; the relays that took the announcement.
    pub(super) async fn announce(&self) -> BTreeSet<RelayUrl> {
        let event = self.announcement().to_draft().sign(&self.keys, self.env.now());
        let mut announced = BTreeSet::new();
        for (relay, outcome) in self.carrier.publish_acknowledged(event, DEADLINE).await {
            match outcome {
                Ok(()) => {
                    info!(%relay, "announced");
                    announced.insert(relay);
                }
                Err(why) => warn!(%relay, why, "announcement not taken"),
            }
        }
        announced
    }

    /// Announces this provider again when a relay has come back, when one did not take it, and when it is time.
    pub(super) async fn keep_announcing(&self, mut announced: BTreeSet<RelayUrl>) {
        const LOOK_EVERY: Duration = Duration::from_secs(2);
        const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);
        let mut connected: BTreeSet<_> = self.carrier.connected().into_iter().collect();
        let mut announced_at = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let before = std::mem::replace(&mut connected, self.carrier.connected().into_iter().collect());
            let is_back = !connected.is_subset(&before);
            let every =
                if connected.is_subset(&announced) { self.options.announce_every } else { TRY_AGAIN_AFTER };
            if is_back || announced_at.elapsed() >= every {
                announced = self.announce().await;
                announced_at = tokio::time::Instant::now();
            }
        }
    }
}

/// What a provider speaks that takes `larger` chunks or not, and wants its direct path under AES or not.
fn extensions(takes_larger: bool, wants_aes: bool) -> BTreeSet<Extension> {
    let is_spoken = |extension: &Extension| match extension {
        Extension::Larger => takes_larger,
        Extension::Aes => wants_aes,
        _ => true,
    };
    Extension::ALL.into_iter().filter(is_spoken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_and_larger_are_announced_by_those_who_have_them() {
        for (takes_larger, wants_aes) in [(false, false), (false, true), (true, false), (true, true)] {
            let spoken = extensions(takes_larger, wants_aes);
            assert_eq!(spoken.contains(&Extension::Larger), takes_larger);
            assert_eq!(spoken.contains(&Extension::Aes), wants_aes);
            assert!(spoken.len() + 2 >= Extension::ALL.len());
        }
    }
}
