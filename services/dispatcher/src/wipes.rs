//! Notices that the broker lost its memory, and returns what was queued in it to pending at once.
//!
//! The mark is the catalog's id, left with the broker by the one process that sweeps. Without it a wipe would still cost
//! nothing but the jobs' deadline; with it, seconds. Rejected: counting the broker's messages against the catalog's rows,
//! which differ all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use n2s_catalog::Catalog;
use n2s_queue::{Bell, Memory, Remembers};
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// See the module. One per catalog.
#[derive(Debug)]
pub struct WipeWatch {
    catalog: Arc<dyn Catalog>,
    memory: Arc<dyn Memory>,
    bell: Bell,
    /// Whether the mark was seen or left before: a broker that is met for the first time lost nothing.
    known: AtomicBool,
}

impl WipeWatch {
    /// A watch that does nothing until it is asked.
    pub fn new(catalog: Arc<dyn Catalog>, memory: Arc<dyn Memory>, bell: Bell) -> Self {
        Self { catalog, memory, bell, known: AtomicBool::new(false) }
    }

    /// Looks until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.look().await {
                // An outage is told of by whoever keeps the connection.
                tracing::debug!(error = format!("{error:#}"), "the broker was not asked what it remembers");
            }
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
        }
    }

    /// Looks once.
    pub async fn look(&self) -> anyhow::Result<Remembers> {
        let mark = self.catalog.catalog_id().await?.to_string();
        let remembers = self.memory.recall(&mark).await?;
        if remembers == Remembers::Nothing {
            // Rows first: were the mark left first, a crash between the two would hide the wipe.
            let jobs = self.catalog.requeue_jobs().await?;
            self.memory.leave(&mark).await?;
            if jobs > 0 && self.known.load(Ordering::Relaxed) {
                tracing::warn!(jobs, "the broker lost what was queued; it is dispatched again");
            }
            self.bell.ring();
        }
        self.known.store(true, Ordering::Relaxed);
        Ok(remembers)
    }
}
