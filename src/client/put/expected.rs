//! How much there is to put, for whoever watches: a second walk, which only a put that takes its time is worth.

use std::sync::Arc;
use std::time::Duration;

use crate::client::base::Client;
use crate::client::error::ClientError;
use crate::client::monitor::Monitor;
use crate::client::put::describe::Describer;
use crate::client::put::flow::PutOptions;
use crate::client::put::walk::{Found, FoundKind, Root, Step, WalkOptions, Walker};
use crate::env::begin_off_thread;
use crate::erasure::Scheme;
use crate::vault::SeenFiles;

/// A put that is done so soon is not walked twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Finds out how many bytes will go to the providers.
pub(crate) struct Expected {
    roots: Vec<Root>,
    walk: WalkOptions,
    scheme: Scheme,
    seen: SeenFiles,
    describer: Describer,
    monitor: Arc<dyn Monitor>,
}

impl Expected {
    pub(crate) fn new(roots: Vec<Root>, options: &PutOptions, client: &Client) -> Result<Self, ClientError> {
        Ok(Self {
            roots,
            walk: options.walk.clone(),
            scheme: options.scheme,
            seen: client.vault.seen_files(),
            describer: Describer::new(client.vault.keys()?.seen_tag_key()),
            monitor: client.monitor.clone(),
        })
    }

    /// Does `work`, and tells the monitor how much there is if it takes long.
    pub(crate) async fn told_during<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => done,
            Err(_elapsed) => {
                // Ends by itself: it only looks.
                begin_off_thread(move || self.tell());
                work.await
            }
        }
    }

    fn tell(self) {
        let Self { roots, walk, scheme, seen, describer, monitor } = self;
        let walkers = roots.into_iter().filter_map(|root| Walker::new(root, &walk).ok());
        let len_of_new = |step| match step {
            Step::Met(Found { kind: FoundKind::File, path, metadata, .. }) => {
                let is_seen = seen.find(&describer.path(&path), &describer.state(&metadata)).is_some();
                if is_seen { 0 } else { metadata.len() }
            }
            _ => 0,
        };
        let bytes: u64 = walkers.flatten().map(len_of_new).sum();
        monitor.expect(bytes.div_ceil(u64::from(scheme.need())).saturating_mul(u64::from(scheme.total())));
    }
}
