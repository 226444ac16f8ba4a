//! How much plaintext a push holds at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Plaintext in memory, in KiB: sealed copies about double it.
const BUDGET_KIB: u32 = 32 * 1024;

/// A share of the budget, given back when dropped.
pub(super) type Share = OwnedSemaphorePermit;

/// The byte budget of one push.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_KIB as usize)))
    }

    /// Waits for room for `bytes`; more than the whole budget waits for the whole budget.
    pub(super) async fn take(&self, bytes: u64) -> Share {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(BUDGET_KIB);
        Arc::clone(&self.0).acquire_many_owned(kib).await.expect("the budget is never closed")
    }
}
