//! One store as a lane sees it, and what all lanes share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use n2s_catalog::{BackendRecord, Catalog, CatalogError};
use n2s_domain::{BackendId, Timestamp};
use n2s_storage::Storage;
use tokio::sync::{Mutex, RwLock, Semaphore, SemaphorePermit};

use crate::attendance::Hearing;
use crate::deps::{StoreDeps, WorkerDeps, WorkerSettings};
use crate::doubts::Doubts;
use crate::health::StoreHealth;
use crate::ledger::Ledger;
use crate::meters::Meters;
use crate::ready::Ready;

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub deps: WorkerDeps,
    pub settings: WorkerSettings,
    pub ledger: Arc<Ledger>,
    /// What was found wrong in staging.
    pub doubts: Doubts,
    /// Held by a job that must run alone because workers disappeared while they held it: two such never run beside each
    /// other, so that one of them that ends the process costs no other a lapse that counts.
    pub alone: Mutex<()>,
    /// Whether the catalog shows this worker.
    pub shown: AtomicBool,
}

/// One store.
#[derive(Debug)]
pub(crate) struct Store {
    pub deps: StoreDeps,
    pub health: Arc<StoreHealth>,
    pub ready: Ready,
    /// Whether its lane hears its queue.
    pub hearing: Hearing,
    /// Read by ordinary work, written by a job that must run alone. Of this store only: a job of one store that waited for, or
    /// held up, the work of all would let a store that hangs stop the others.
    pub alone: RwLock<()>,
    /// What it counts.
    pub meters: Meters,
    /// One probe at a time; whoever waited looks first whether another's will do.
    pub probing: Mutex<()>,
    /// Kibibytes of bodies this store may hold in memory. Each store has its own share, because one that hangs would
    /// hold on to all of a common pool.
    memory: Semaphore,
    memory_kib: u32,
}

impl Shared {
    pub(crate) fn catalog(&self) -> &dyn Catalog {
        self.deps.catalog.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Another store by its row, if this worker has it.
    pub(crate) fn storage(&self, id: BackendId) -> Option<&Arc<dyn Storage>> {
        let served = self.deps.stores.iter().map(|store| (store.id, &store.storage));
        let sources = self.deps.sources.iter().map(|(id, storage)| (*id, storage));
        served.chain(sources).find(|(known, _)| *known == id).map(|(_, storage)| storage)
    }

    /// The store's row as it is now.
    pub(crate) async fn record(&self, store: &Store) -> Result<BackendRecord, CatalogError> {
        let records = self.catalog().backends().await?;
        let found = records.into_iter().map(|(record, _)| record).find(|record| record.id == store.deps.id);
        found.ok_or_else(|| CatalogError::Unknown {
            what: "backend",
            name: store.deps.name.to_string(),
            hint: String::new(),
        })
    }
}

impl Store {
    pub(crate) fn new(deps: StoreDeps, memory_bytes: u64) -> Self {
        let memory_kib = kib(memory_bytes).max(1);
        Self {
            health: Arc::new(StoreHealth::new(deps.concurrency, deps.batch)),
            ready: Ready::default(),
            hearing: Hearing::default(),
            alone: RwLock::default(),
            meters: Meters::new(&deps.name),
            probing: Mutex::default(),
            memory: Semaphore::new(memory_kib as usize),
            memory_kib,
            deps,
        }
    }

    /// Waits until `bytes` may be held in memory. More than there is at all waits for everything.
    pub(crate) async fn memory(&self, bytes: u64) -> SemaphorePermit<'_> {
        let wanted = kib(bytes).min(self.memory_kib);
        self.memory.acquire_many(wanted).await.expect("it is never closed")
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(u32::MAX >> 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use n2s_domain::backoff::RetryPolicy;
    use n2s_storage_backends::LocalStore;

    use super::*;

    #[tokio::test]
    async fn bodies_in_memory_stay_within_the_share() {
        const SHARE: u64 = 1 << 20;
        let deps = StoreDeps {
            id: BackendId(1),
            name: "disk".parse().unwrap(),
            kind: "local".to_owned(),
            storage: Arc::new(LocalStore::new("disk", "/nonexistent")),
            retry: RetryPolicy::default(),
            concurrency: (1, 100_000),
            batch: 1,
        };
        let store = Store::new(deps, SHARE);
        let at_once = |bytes| tokio::time::timeout(Duration::from_millis(1), store.memory(bytes));
        let mut held = Vec::new();
        while let Ok(body) = at_once(SHARE / 8).await {
            held.push(body);
            assert!(held.len() <= 8, "more than the share, whatever the limit allows");
        }
        assert_eq!(held.len(), 8);
        held.pop();
        assert!(at_once(SHARE / 4).await.is_err() && at_once(SHARE / 8).await.is_ok());
        // One that is larger than the share goes by itself.
        assert!(at_once(64 * SHARE).await.is_err());
        held.clear();
        let whole = at_once(64 * SHARE).await.unwrap();
        assert!(at_once(1).await.is_err());
        drop(whole);
    }
}
