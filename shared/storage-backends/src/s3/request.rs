//! One request: a place among `pool_size`, a deadline, and another try when the connection failed.
//!
//! `max_retries` is for connections alone: one that was refused, that broke, or whose answer broke off. All tries together share
//! `timeout_secs`. Whatever a server answers goes to the job at once, which has the schedule, the attempts and the other stores
//! in view; were it repeated here as well, an outage would meet attempts × (max_retries + 1) requests.

use std::time::Duration;

use anyhow::anyhow;
use n2s_domain::FailureKind;
use n2s_storage::{ObjectKey, StorageError};

use super::Inner;
use super::failure::Failure;

/// The pause before the first other try; it doubles. Long enough for a listener that is just restarting.
const PAUSE: Duration = Duration::from_millis(50);

impl Inner {
    /// Sends until there is an answer, the tries are used up or the time is.
    pub(super) async fn send<T, F>(&self, attempt: impl Fn() -> F + Send + Sync) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
        T: Send,
    {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let limit = self.options.timeout();
        let tries = async {
            let mut pause = PAUSE;
            for _ in 0..self.options.max_retries {
                match attempt().await {
                    Err(failure) if failure.cut => tokio::time::sleep(pause).await,
                    settled => return settled,
                }
                pause *= 2;
            }
            attempt().await
        };
        tokio::time::timeout(limit, tries).await.unwrap_or_else(|_| {
            let cause = anyhow!("no whole answer within timeout_secs = {}", limit.as_secs());
            Err(Failure::new(FailureKind::Unavailable, cause))
        })
    }

    /// Says what was to be done, and to what.
    pub(super) fn error(&self, op: &'static str, key: Option<&ObjectKey>, failure: Failure) -> StorageError {
        StorageError {
            kind: failure.kind,
            op,
            backend: self.name.clone(),
            key: key.cloned(),
            retry_after: failure.retry_after,
            source: failure.cause,
        }
    }
}
