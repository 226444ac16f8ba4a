//! How much memory a push or a pull holds for contents at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A share of the budget, given back when dropped.
pub(crate) type Share = OwnedSemaphorePermit;

/// The byte budget of one push or pull. Shares are given in the order they were asked for.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    kib: u32,
}

impl Budget {
    pub(crate) fn new(kib: u32) -> Self {
        Self { room: Arc::new(Semaphore::new(kib as usize)), kib }
    }

    /// Waits for room for `bytes`; more than the whole budget waits for the whole budget.
    pub(crate) async fn take(&self, bytes: u64) -> Share {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(self.kib);
        Arc::clone(&self.room).acquire_many_owned(kib).await.expect("the budget is never closed")
    }
}
