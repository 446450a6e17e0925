//! Being told to stop: whoever has something to write down first listens, and ends by itself; anything else can be
//! dropped where it is.

use std::sync::Arc;

use tokio::sync::watch;

use crate::client::error::ClientError;

/// Tells operations to stop. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Stop {
    told: Arc<watch::Sender<bool>>,
}

impl Stop {
    /// Tells it, once and for all.
    pub fn tell(&self) {
        self.told.send_replace(true);
    }

    /// True if an operation is under way that ends by itself when it is told.
    pub fn is_heeded(&self) -> bool {
        self.told.receiver_count() > 0
    }

    /// Does `work`, which is dropped where it is as soon as this is told.
    ///
    /// # Errors
    /// [`ClientError::Interrupted`], and those of the work.
    pub(crate) async fn unless_told<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let mut told = self.told.subscribe();
        tokio::select! {
            biased;
            _ = told.wait_for(|told| *told) => Err(ClientError::Interrupted),
            done = work => done,
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { told: Arc::new(watch::channel(false).0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_dropped_when_told_and_never_begins_after_that() {
        let stop = Stop::default();
        assert!(!stop.is_heeded());
        let teller = stop.clone();
        let work = async move {
            assert!(teller.is_heeded());
            teller.tell();
            std::future::pending::<Result<(), _>>().await
        };
        assert!(matches!(stop.unless_told(work).await, Err(ClientError::Interrupted)));
        assert!(!stop.is_heeded());
        let begun = async { panic!("nothing begins any more") };
        let again: Result<(), _> = stop.unless_told(begun).await;
        assert!(matches!(again, Err(ClientError::Interrupted)));
    }

    #[tokio::test]
    async fn work_that_nobody_stops_comes_to_its_end() {
        assert!(matches!(Stop::default().unless_told(async { Ok(7) }).await, Ok(7)));
    }
}
