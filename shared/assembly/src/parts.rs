//! The parts that keep a catalog moving, made from a station. Who runs which is up to `engine` and `fleet`.

use std::sync::Arc;
use std::time::Duration;

use n2s_dispatcher::{
    Dispatcher, DispatcherDeps, DispatcherSettings, Folder, Sweeper, SweeperDeps, SweeperSettings,
};
use n2s_domain::{BackendId, BackendName};
use n2s_queue::Queue;
use n2s_worker::{StoreDeps, Worker, WorkerDeps, WorkerSettings};

use crate::station::Station;

/// Puts right what time brings. One at a time. `lease` is that of workers in other processes.
pub(crate) fn sweeper(station: &Station, lease: Duration) -> Sweeper {
    let deps = SweeperDeps {
        catalog: Arc::clone(&station.engine),
        staging: station.staging.clone(),
        bell: station.bell.clone(),
        clock: Arc::clone(&station.clock),
    };
    let staging_high_water = station.staging_high_water;
    Sweeper::new(deps, SweeperSettings { staging_high_water, lease, ..SweeperSettings::default() })
}

/// Adds up what finished. One at a time.
pub(crate) fn folder(station: &Station) -> Folder {
    Folder::new(Arc::clone(&station.engine), station.bell.clone())
}

/// Dispatches the jobs of these stores. One at a time for each store.
pub(crate) fn dispatcher(
    station: &Station,
    queue: &Arc<dyn Queue>,
    backends: Vec<(BackendId, BackendName)>,
) -> Dispatcher {
    let deps = DispatcherDeps {
        catalog: Arc::clone(&station.engine),
        queue: Arc::clone(queue),
        bell: station.bell.clone(),
        backends,
    };
    Dispatcher::new(
        deps,
        DispatcherSettings { queued_for: station.unclaimed, ..DispatcherSettings::default() },
    )
}

/// What a worker serves, and with how much memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Only these stores; all when empty. Copies are read from the others all the same.
    pub only: Vec<BackendName>,
    /// Whether a push, or an API, in the same process holds as much again.
    pub shares_memory: bool,
}

/// Takes jobs to stores. Any number.
pub(crate) fn worker(station: &Station, queue: Arc<dyn Queue>, work: &Work) -> Worker {
    let serves = |store: &StoreDeps| work.only.is_empty() || work.only.contains(&store.name);
    let (stores, others): (Vec<_>, Vec<_>) = station.stores.iter().cloned().partition(serves);
    let deps = WorkerDeps {
        catalog: Arc::clone(&station.catalog),
        queue,
        staging: station.staging.clone(),
        bell: station.bell.clone(),
        clock: Arc::clone(&station.clock),
        entropy: Arc::clone(&station.entropy),
        sources: others.into_iter().map(|store| (store.id, store.storage)).collect(),
        stores,
    };
    let mut settings = WorkerSettings::new(name());
    settings.grace = station.grace;
    settings.lease = station.lease;
    if work.shares_memory {
        settings.bytes_max = 32 << 20;
    }
    Worker::new(deps, settings)
}

/// Of this process, for people.
fn name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
