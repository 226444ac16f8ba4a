//! Everything comes to rest: with stores that take all, nothing is owed to anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use n2s_domain::ChangesetStatus;

use super::super::world::{HOUR, stored};
use super::Run;
use super::state::Key;
use crate::Outcome;

impl Run<'_> {
    pub(super) async fn finale(&mut self) {
        self.log.add("finale".into());
        for d in 0..self.state.datasets.len() {
            self.close(d).await;
        }
        while self.state.datasets.iter().any(|dataset| dataset.undoing) {
            self.undo().await;
        }
        for store in 0..self.w.stores.len() {
            self.w.catalog.resume(self.w.stores[store], true).await.unwrap();
            self.state.paused[store] = false;
        }
        for round in 0.. {
            assert!(round < 50, "it never comes to rest");
            if self.round().await {
                break;
            }
        }
        self.check().await;
        self.at_rest().await;
    }

    /// Sends what nobody has any more, and commits.
    async fn close(&mut self, d: usize) {
        while self.state.datasets[d].open.is_some() {
            let lost = self.lost(d);
            self.send(d, &lost).await;
            self.commit(d).await;
        }
    }

    /// Works off what there is; true when there was nothing.
    async fn round(&mut self) -> bool {
        while self.fold().await {}
        let mut idle = self.state.jobs.is_empty();
        self.bring_back().await;
        self.take_over_jobs().await;
        self.w.advance(HOUR).await;
        self.now = self.now.after(HOUR);
        for store in 0..self.w.stores.len() {
            self.state.messages.clear();
            self.dispatch(store).await;
            let messages = std::mem::take(&mut self.state.messages);
            self.claim_messages(store, &messages).await;
            let held = std::mem::take(&mut self.state.held);
            idle &= held.is_empty();
            let again = Outcome::Retry { after: Duration::ZERO, charged: false, error: None };
            let outcome = |readable| if readable { stored() } else { again.clone() };
            let outcomes: Vec<_> = held.iter().map(|held| (*held, outcome(held.readable))).collect();
            self.report(&outcomes).await;
        }
        while self.fold().await {}
        self.retry(None, None).await;
        idle && self.state.jobs.is_empty() && self.state.broken.is_empty()
    }

    /// Contents that some placement waits for and nobody has: the next push is asked for them.
    async fn bring_back(&mut self) {
        for project in [0, 1] {
            let lost = self.state.blobs.iter().filter(|(_, blob)| !blob.sourced() && !blob.placed.is_empty());
            let lost: BTreeSet<Key> = lost.map(|(key, _)| *key).filter(|key| key.0 == project).collect();
            let d = self.state.datasets.iter().position(|dataset| dataset.project == project).unwrap();
            while !lost.is_empty() && self.state.datasets[d].open.is_none() {
                self.open(d).await;
            }
            if !lost.is_empty() {
                self.send(d, &lost.iter().map(|key| key.1).collect::<Vec<_>>()).await;
                self.close(d).await;
            }
        }
    }

    async fn at_rest(&mut self) {
        for dataset in &self.state.datasets {
            for kept in &dataset.versions {
                let record = self.w.catalog.changeset(kept.lease.changeset).await.unwrap();
                assert_eq!(record.status, ChangesetStatus::Completed, "{:?}", record.stores);
            }
        }
        self.w.advance(HOUR).await;
        self.now = self.now.after(HOUR);
        while self.free_unneeded(Duration::ZERO, 7).await > 0 {}
        assert_eq!(self.w.catalog.staged_total().await.unwrap(), (0, 0), "staging does not empty");
    }
}
