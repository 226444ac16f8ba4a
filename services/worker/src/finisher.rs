//! Outcomes into the catalog, in batches: as many as came within a moment, or at once when nothing else is being done.
//!
//! Tasks do not wait for it: their slots are free as soon as the store answered. The channel is bounded, so a catalog
//! that does not answer stops the lanes instead of filling memory.

use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::{Catalog, Finish, StagedKey};
use n2s_domain::limits::{CLAIM_BATCH_MAX, FINISH_GATHER};
use n2s_failpoints::{Point, failpoint};
use n2s_queue::Bell;
use n2s_storage::{Staging, StagingKey};
use n2s_telemetry::metrics::families;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::failure::report;
use crate::ledger::Ledger;

/// See the module.
#[derive(Debug)]
pub(crate) struct Finisher {
    pub catalog: Arc<dyn Catalog>,
    pub staging: Staging,
    pub bell: Bell,
    pub ledger: Arc<Ledger>,
    /// Closed when every lane has ended.
    pub outcomes: mpsc::Receiver<Finish>,
    /// How long a catalog that fails is tried again once no more outcomes can come.
    pub grace: Duration,
}

impl Finisher {
    /// Records outcomes until the lanes have ended and all is recorded, or the grace period is over.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(CLAIM_BATCH_MAX);
        while self.outcomes.recv_many(&mut batch, CLAIM_BATCH_MAX).await > 0 {
            self.gather(&mut batch).await;
            self.record(&batch).await;
            batch.clear();
        }
    }

    async fn gather(&mut self, batch: &mut Vec<Finish>) {
        let until = Instant::now() + FINISH_GATHER;
        while batch.len() < CLAIM_BATCH_MAX && self.ledger.working() > 0 {
            let more = self.outcomes.recv_many(batch, CLAIM_BATCH_MAX - batch.len());
            if timeout_at(until, more).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    async fn record(&self, batch: &[Finish]) {
        failpoint(Point::Finishing);
        let mut closed_at = None;
        let freed = loop {
            match self.catalog.finish(batch).await {
                Ok(report) => {
                    let late = report.accepted.iter().filter(|accepted| !**accepted).count();
                    families::DISCARDED.with([]).add(late as u64);
                    if late > 0 {
                        tracing::info!(outcomes = late, "discarded: by now the jobs are somebody else's");
                    }
                    break report.freed;
                }
                Err(error) => {
                    tracing::warn!(
                        outcomes = batch.len(),
                        error = report(&error),
                        "not recorded; trying again"
                    );
                }
            }
            if self.outcomes.is_closed() && closed_at.get_or_insert_with(Instant::now).elapsed() > self.grace
            {
                tracing::error!(
                    outcomes = batch.len(),
                    "given up; the jobs are done again after their leases"
                );
                break Vec::new();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        self.ledger.settle(batch.iter().map(|finish| finish.claim));
        self.bell.ring();
        self.delete(&freed).await;
    }

    async fn delete(&self, freed: &[StagedKey]) {
        if freed.is_empty() {
            return;
        }
        let keys: Vec<_> = freed.iter().map(|key| staging_key(*key)).collect();
        failpoint(Point::Freeing);
        for error in self.staging.delete(&keys).await.into_iter().filter_map(Result::err) {
            tracing::warn!(error = error.report(), "left in staging; the sweeper finds it");
        }
        failpoint(Point::Freed);
    }
}

/// The catalog's and the staging area's names for an object are two types, because neither crate knows the other.
pub(crate) fn staging_key(key: StagedKey) -> StagingKey {
    StagingKey { sealed_hash: key.sealed_hash, id: key.id }
}
