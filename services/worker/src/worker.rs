//! The worker: a lane and a prober per store, one finisher, one heart.

use std::sync::Arc;

use futures_util::future::join_all;
use n2s_catalog::ClaimRef;
use n2s_domain::limits::CLAIM_BATCH_MAX;
use n2s_telemetry::metrics::families;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::attendance::Attendance;
use crate::deps::{WorkerDeps, WorkerSettings};
use crate::doubts::Doubts;
use crate::failure::report;
use crate::finisher::Finisher;
use crate::lane::Lane;
use crate::store::{Shared, Store};
use crate::{presence, prober};

/// See the crate.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    stores: Vec<Arc<Store>>,
}

impl Worker {
    /// A worker that does nothing until [`Self::run`].
    pub fn new(deps: WorkerDeps, settings: WorkerSettings) -> Self {
        let share = settings.bytes_max / u64::try_from(deps.stores.len().max(1)).unwrap_or(1);
        let stores = deps.stores.iter().map(|store| Arc::new(Store::new(store.clone(), share))).collect();
        let shared = Shared {
            deps,
            settings,
            ledger: Arc::default(),
            doubts: Doubts::default(),
            alone: Mutex::default(),
            shown: false.into(),
        };
        Self { shared: Arc::new(shared), stores }
    }

    /// To be asked whether it hears its queues.
    pub fn attendance(&self) -> Attendance {
        Attendance(self.stores.clone())
    }

    /// Works until `shutdown`, and returns when everything it held is recorded or handed back.
    ///
    /// Do not drop the future half-way: what it holds then comes back only when its leases lapse.
    pub async fn run(self, shutdown: CancellationToken) {
        let (sender, outcomes) = mpsc::channel(4 * CLAIM_BATCH_MAX);
        let deps = &self.shared.deps;
        let finisher = Finisher {
            catalog: Arc::clone(&deps.catalog),
            staging: deps.staging.clone(),
            bell: deps.bell.clone(),
            ledger: Arc::clone(&self.shared.ledger),
            outcomes,
            grace: self.shared.settings.grace,
        };
        let lanes: Vec<_> = self.stores.iter().map(|store| self.lane(store, &sender)).collect();
        drop(sender);
        let stop = CancellationToken::new();
        let work = async {
            let lanes = join_all(lanes.into_iter().map(|lane| lane.run(shutdown.clone())));
            tokio::join!(lanes, finisher.run());
            stop.cancel();
        };
        let probers =
            join_all(self.stores.iter().map(|store| prober::watch(&self.shared, store, (&shutdown, &stop))));
        tokio::join!(work, probers, self.beat(&stop));
        presence::leave(&self.shared).await;
    }

    fn lane(&self, store: &Arc<Store>, outcomes: &mpsc::Sender<n2s_catalog::Finish>) -> Lane {
        Lane { shared: Arc::clone(&self.shared), store: Arc::clone(store), outcomes: outcomes.clone() }
    }

    /// Extends the leases of everything held, and stops work on what is not ours any more.
    async fn beat(&self, stop: &CancellationToken) {
        let lease = self.shared.settings.lease;
        let leases = families::LEASES.hold([]);
        while stop.run_until_cancelled(tokio::time::sleep(lease / 3)).await.is_some() {
            let held = self.shared.ledger.all();
            leases.set(f64::from(u32::try_from(held.len()).unwrap_or(u32::MAX)));
            if held.is_empty() {
                continue;
            }
            match self.shared.catalog().heartbeat(&held, lease).await {
                Ok(kept) => {
                    let kept: std::collections::HashSet<ClaimRef> = kept.into_iter().collect();
                    let lost: Vec<ClaimRef> =
                        held.into_iter().filter(|claim| !kept.contains(claim)).collect();
                    self.shared.ledger.fence(&lost);
                }
                Err(error) => tracing::warn!(error = report(&error), "no heartbeat"),
            }
        }
    }
}
