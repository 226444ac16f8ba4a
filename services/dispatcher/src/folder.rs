//! The one folder: adds up the deltas that finished jobs append, and tells who waits what settled.
//!
//! Announcements are a convenience for this process: a listener that lags or comes late asks the catalog.

use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::{Catalog, CatalogError, Settled};
use n2s_queue::Bell;
use n2s_telemetry::metrics::families;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::report::report;

/// Few, so that a fold is short: it holds the rows of the changesets it settles, and whoever ends one of their manifests waits.
const DELTAS_MAX: u32 = 250;
const ANNOUNCED_MAX: usize = 1_024;
const POLL: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub struct Folder {
    catalog: Arc<dyn Catalog>,
    bell: Bell,
    settled: broadcast::Sender<Settled>,
}

impl Folder {
    /// A folder that does nothing until [`Self::run`].
    pub fn new(catalog: Arc<dyn Catalog>, bell: Bell) -> Self {
        Self { catalog, bell, settled: broadcast::Sender::new(ANNOUNCED_MAX) }
    }

    /// Hears of every changeset that settles from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Settled> {
        self.settled.subscribe()
    }

    /// Folds until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut listener = self.bell.listen();
        let office = families::LEADER.hold(["folder", ""]);
        office.set(1.0);
        while !shutdown.is_cancelled() {
            if let Err(error) = self.fold_all(&shutdown).await {
                tracing::warn!(error = report(&error), "folding failed; trying again");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = listener.heard(POLL) => {}
            }
        }
    }

    /// Folds until nothing is left. Rings the bell when it did anything: a manifest job may have been born.
    async fn fold_all(&self, shutdown: &CancellationToken) -> Result<(), CatalogError> {
        while !shutdown.is_cancelled() {
            let (settled, folded) = self.catalog.fold(DELTAS_MAX).await?;
            for event in settled {
                families::SETTLED.with([event.status.as_str()]).increment();
                tracing::info!(changeset.id = %event.changeset, changeset.status = event.status.as_str(), "settled");
                // Nobody may be listening, and that is fine.
                drop(self.settled.send(event));
            }
            if !folded {
                return Ok(());
            }
            self.bell.ring();
        }
        Ok(())
    }
}
