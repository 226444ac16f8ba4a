//! The claims this process holds: for heartbeats, and so that work whose claim was fenced off stops.
//!
//! A claim is held from the catalog's answer until its outcome is recorded. Whatever happens to the task in between, a
//! panic included, its claims leave the ledger, so that their leases lapse instead of being kept alive for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use n2s_catalog::{Claim, ClaimRef};
use tokio_util::sync::CancellationToken;

use crate::traces::Traces;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<HashMap<ClaimRef, Entry>>);

#[derive(Debug)]
struct Entry {
    batch: Arc<CancellationToken>,
    submitted: bool,
}

impl Ledger {
    /// Holds a batch of claims until the answer is dropped. The token ends the batch's waiting.
    pub(crate) fn hold(self: &Arc<Self>, claims: &[Claim], stop: CancellationToken) -> Batch {
        let token = Arc::new(stop);
        let refs: Vec<ClaimRef> = claims.iter().map(|claim| claim.claim).collect();
        let mut held = self.lock();
        for claim in &refs {
            held.insert(*claim, Entry { batch: Arc::clone(&token), submitted: false });
        }
        drop(held);
        Batch { ledger: Arc::clone(self), claims: refs, token, traces: Traces::default() }
    }

    /// Every claim held.
    pub(crate) fn all(&self) -> Vec<ClaimRef> {
        self.lock().keys().copied().collect()
    }

    /// Claims that are still being worked on.
    pub(crate) fn working(&self) -> usize {
        self.lock().values().filter(|entry| !entry.submitted).count()
    }

    /// Claims that are somebody else's now. A batch that has none left is stopped.
    pub(crate) fn fence(&self, lost: &[ClaimRef]) {
        let mut held = self.lock();
        let gone: Vec<Entry> = lost.iter().filter_map(|claim| held.remove(claim)).collect();
        for entry in gone {
            if !held.values().any(|other| Arc::ptr_eq(&other.batch, &entry.batch)) {
                entry.batch.cancel();
            }
        }
    }

    /// Outcomes are recorded.
    pub(crate) fn settle(&self, claims: impl Iterator<Item = ClaimRef>) {
        let mut held = self.lock();
        for claim in claims {
            held.remove(&claim);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimRef, Entry>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

/// The claims of one task.
#[derive(Debug)]
pub(crate) struct Batch {
    ledger: Arc<Ledger>,
    claims: Vec<ClaimRef>,
    token: Arc<CancellationToken>,
    /// Those of its jobs that somebody follows.
    pub traces: Traces,
}

impl Batch {
    /// Waits for `work` unless the batch is to stop; `None` then. Never for catalog calls: dropping one of those half-way
    /// can spoil a pooled connection.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.token.run_until_cancelled(work).await
    }

    /// Marks the outcome of a claim as found. False when the claim is not ours any more, or has an outcome already.
    pub(crate) fn submit(&self, claim: ClaimRef) -> bool {
        let mut held = self.ledger.lock();
        held.get_mut(&claim).is_some_and(|entry| !std::mem::replace(&mut entry.submitted, true))
    }

    /// Whether the claim is still ours to work on.
    pub(crate) fn holds(&self, claim: ClaimRef) -> bool {
        self.ledger.lock().get(&claim).is_some_and(|entry| !entry.submitted)
    }

    /// The claims without an outcome.
    pub(crate) fn open(&self) -> Vec<ClaimRef> {
        self.claims.iter().copied().filter(|claim| self.holds(*claim)).collect()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let open = self.open();
        self.ledger.settle(open.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use n2s_catalog::{ClaimTarget, UploadTarget};
    use n2s_domain::{BackendId, BlobId, Epoch, JobId, SealedHash, VaultId};

    use super::*;

    fn claim(job: i64) -> Claim {
        let target = UploadTarget {
            blob: BlobId(job),
            sealed_hash: SealedHash([0; 32]),
            encrypted_size: 1,
            vault: VaultId([0; 8]),
            epoch: Epoch(1),
            staged: None,
            repair: false,
        };
        let claim = ClaimRef { job: JobId(job), epoch: 1 };
        let target = ClaimTarget::Upload(target);
        Claim { claim, backend: BackendId(1), retry_count: 0, alone: false, target }
    }

    #[tokio::test]
    async fn a_batch_stops_when_all_of_it_is_fenced_off() {
        let ledger = Arc::new(Ledger::default());
        let batch = ledger.hold(&[claim(1), claim(2)], CancellationToken::new());
        ledger.fence(&[claim(1).claim]);
        assert!(!batch.submit(claim(1).claim));
        assert_eq!(batch.unless_stopped(async { 7 }).await, Some(7));
        ledger.fence(&[claim(2).claim]);
        assert_eq!(batch.unless_stopped(std::future::pending::<()>()).await, None);
    }

    #[test]
    fn what_a_dropped_task_held_gets_no_more_heartbeats() {
        let ledger = Arc::new(Ledger::default());
        let batch = ledger.hold(&[claim(1), claim(2)], CancellationToken::new());
        assert!(batch.submit(claim(1).claim) && !batch.submit(claim(1).claim));
        drop(batch);
        // The outcome found is still on its way to the catalog.
        assert_eq!(ledger.all(), [claim(1).claim]);
        assert_eq!(ledger.working(), 0);
    }
}
