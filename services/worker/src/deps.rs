//! What a worker is given.

use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::Catalog;
use n2s_domain::backoff::RetryPolicy;
use n2s_domain::{BackendId, BackendName, Clock, Entropy, limits};
use n2s_queue::{Bell, Queue};
use n2s_storage::{Staging, Storage};

/// What the worker works with.
#[derive(Clone, Debug)]
pub struct WorkerDeps {
    /// The truth.
    pub catalog: Arc<dyn Catalog>,
    /// The doorbells.
    pub queue: Arc<dyn Queue>,
    /// Where sealed blobs wait.
    pub staging: Staging,
    /// Rung after outcomes, because they make room and may make new jobs.
    pub bell: Bell,
    /// Times of breakers and retries.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The stores this worker serves, and reads other copies from.
    pub stores: Vec<StoreDeps>,
    /// Further stores, which it only reads copies from.
    pub sources: Vec<(BackendId, Arc<dyn Storage>)>,
}

/// One store. Its operations must end by themselves: wrap it in `n2s_storage::TimedOut`.
#[derive(Clone, Debug)]
pub struct StoreDeps {
    /// Its row.
    pub id: BackendId,
    /// Its configured name.
    pub name: BackendName,
    /// `local`, `s3`, …: on a `local` store the marker is looked for after every batch, because an unmounted disk takes
    /// writes without a word.
    pub kind: String,
    /// The store.
    pub storage: Arc<dyn Storage>,
    /// How patiently objects are tried again.
    pub retry: RetryPolicy,
    /// Objects in flight at once, at least and at most; in between the worker finds out by itself.
    pub concurrency: (u32, u32),
    /// How many objects it likes to be given at once: while some are under way, new ones wait until so many may go, and no more than
    /// so many go together.
    pub batch: u32,
}

/// Bounds; the defaults are meant for everybody but for the name.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The worker, for people.
    pub name: String,
    /// How long a claim lives without a heartbeat; heartbeats come three times as often.
    pub lease: Duration,
    /// How long it lives at most.
    pub held_max: Duration,
    /// How long work may go on after the shutdown was asked for.
    pub grace: Duration,
    /// Bytes of bodies in memory, over all stores; each gets an equal share.
    pub bytes_max: u64,
    /// Bytes a store is given in one call.
    pub batch_bytes_max: u64,
    /// Between two probes of a paused store.
    pub probe_every: Duration,
}

impl WorkerSettings {
    /// The defaults under a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lease: limits::JOB_LEASE,
            held_max: limits::JOB_HELD_MAX,
            grace: Duration::from_secs(10),
            bytes_max: 48 << 20,
            batch_bytes_max: 8 << 20,
            probe_every: Duration::from_secs(10),
        }
    }
}
