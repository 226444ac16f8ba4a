//! What a worker counts of one store. The gauges are written a few times a second by the store's prober, so that work itself pays for
//! additions only.

use n2s_catalog::Outcome;
use n2s_domain::BackendName;
use n2s_telemetry::metrics::{Counter, GaugeGuard, families};

use crate::health::StoreHealth;

/// See the module.
#[derive(Debug)]
pub(crate) struct Meters {
    pub claimed: Counter,
    pub stale: Counter,
    stored: Counter,
    failed: Counter,
    retried: Counter,
    deferred: Counter,
    returned: Counter,
    limit: GaugeGuard<1>,
    in_flight: GaugeGuard<1>,
    open: GaugeGuard<1>,
    paused: GaugeGuard<1>,
    consuming: GaugeGuard<1>,
}

impl Meters {
    pub(crate) fn new(store: &BackendName) -> Self {
        let store = store.as_str();
        let finished = |outcome| families::FINISHED.with([store, outcome]);
        Self {
            claimed: families::CLAIMED.with([store]),
            stale: families::STALE.with([store]),
            stored: finished("stored"),
            failed: finished("failed"),
            retried: finished("retried"),
            deferred: finished("deferred"),
            returned: finished("returned"),
            limit: families::CONCURRENCY.hold([store]),
            in_flight: families::IN_FLIGHT.hold([store]),
            open: families::WORKER_OPEN.hold([store]),
            paused: families::WORKER_PAUSED.hold([store]),
            consuming: families::CONSUMING.hold([store]),
        }
    }

    /// A job is let go of.
    pub(crate) fn finished(&self, outcome: &Outcome) -> &'static str {
        let (counter, name) = match outcome {
            Outcome::Stored { .. } => (&self.stored, "stored"),
            Outcome::Failed { .. } => (&self.failed, "failed"),
            Outcome::Retry { charged: true, .. } => (&self.retried, "retried"),
            Outcome::Retry { error: Some(_), .. } => (&self.deferred, "deferred"),
            Outcome::Retry { error: None, .. } => (&self.returned, "returned"),
        };
        counter.increment();
        name
    }

    /// Shows how things are.
    pub(crate) fn show(&self, health: &StoreHealth, hears: bool) {
        let state = |state: bool| f64::from(u8::from(state));
        self.limit.set(f64::from(health.limit()));
        self.in_flight.set(f64::from(health.in_flight()));
        self.paused.set(state(health.is_paused()));
        self.open.set(state(health.is_open()));
        self.consuming.set(state(hears));
    }
}
