//! One provider of a network: what stays of it when it ends, and how it begins.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::env::Env;
use crate::provider::{Provider, ProviderError, ProviderOptions};
use crate::store::{BlobStore, SimDisk, StoreOptions};
use crate::testing::clock::SkewedClock;
use crate::testing::tamper::{Liar, Tampering};
use crate::testing::{Freezing, Switch};
use crate::transport::Carrier;
use crate::types::ProviderId;

/// How long a store that another provider has just left may still be locked.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// A provider, or where one was.
pub(super) struct Seat {
    pub(super) provider: Option<Provider>,
    pub(super) switch: Switch,
    pub(super) liar: Liar,
    /// Its disk, where that is in memory.
    pub(super) disk: Option<Arc<SimDisk>>,
    id: Option<ProviderId>,
    options: ProviderOptions,
    env: Env,
    off_seconds: Arc<AtomicI64>,
}

impl Seat {
    /// A place for a provider that never ran.
    pub(super) fn empty(options: ProviderOptions, disk: Option<Arc<SimDisk>>, env: &Env) -> Self {
        let off_seconds = Arc::<AtomicI64>::default();
        let (right, mut env) = (env.clock.clone(), env.clone());
        env.clock = Arc::new(SkewedClock { right, off_seconds: off_seconds.clone() });
        let (switch, liar) = Default::default();
        Self { provider: None, switch, liar, disk, id: None, options, env, off_seconds }
    }

    /// The key of the provider that runs here, or ran here last.
    pub(super) fn id(&self) -> ProviderId {
        self.id.expect("a network starts every provider")
    }

    /// Puts the provider's clock off.
    pub(super) fn skew(&self, seconds: i64) {
        self.off_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Starts the provider on its disk in memory, or in the folder `store`; it hears and is honest.
    pub(super) async fn start(&mut self, store: &Path, carrier: Arc<dyn Carrier>) {
        (self.switch, self.liar) = Default::default();
        let started = match self.disk.clone() {
            Some(disk) => self.start_in_memory(disk, carrier).await,
            None => self.start_in(store, Arc::new(Freezing::new(carrier, self.switch.clone()))).await,
        };
        let provider = started.unwrap_or_else(|error| panic!("a provider does not start: {error:?}"));
        self.id = Some(provider.id());
        self.provider = Some(provider);
    }

    async fn start_in_memory(
        &self,
        disk: Arc<SimDisk>,
        inner: Arc<dyn Carrier>,
    ) -> Result<Provider, ProviderError> {
        let options = StoreOptions { quota: self.options.quota, ..StoreOptions::default() };
        let store = BlobStore::open(disk, options, self.env.clone())?;
        let keys = Provider::keys_in(&store)?;
        let inner = Arc::new(Tampering { inner, liar: self.liar.clone(), keys: keys.clone() });
        let carrier = Arc::new(Freezing::new(inner, self.switch.clone()));
        Provider::start(Arc::new(store), keys, self.options.clone(), carrier, self.env.clone()).await
    }

    async fn start_in(&self, store: &Path, carrier: Arc<dyn Carrier>) -> Result<Provider, ProviderError> {
        let give_up = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match Provider::open(store, self.options.clone(), carrier.clone(), self.env.clone()).await {
                Err(error) if is_locked(&error) && Instant::now() < give_up => {
                    sleep(Duration::from_millis(10)).await;
                }
                done => return done,
            }
        }
    }
}

/// Work that a killed provider had under way may hold its store for a moment.
fn is_locked(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Folder { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
}
