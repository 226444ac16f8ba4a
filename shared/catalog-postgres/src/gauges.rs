//! What the pool shows of itself.

use n2s_telemetry::metrics::families::{
    CATALOG_CONNECTIONS, CATALOG_CONNECTIONS_MAX, CATALOG_UNANSWERED, CATALOG_WAITING,
};
use n2s_telemetry::metrics::{Counter, GaugeGuard};

/// Gauges of one pool, shown as long as it is there.
#[derive(Debug)]
pub(crate) struct Gauges {
    in_use: GaugeGuard<2>,
    idle: GaugeGuard<2>,
    waiting: GaugeGuard<1>,
    unanswered: Counter,
    /// Never changes.
    _size: GaugeGuard<1>,
}

impl Gauges {
    pub(crate) fn of(pool: &str, size: u32) -> Self {
        let max = CATALOG_CONNECTIONS_MAX.hold([pool]);
        max.set(f64::from(size));
        Self {
            in_use: CATALOG_CONNECTIONS.hold([pool, "in_use"]),
            idle: CATALOG_CONNECTIONS.hold([pool, "idle"]),
            waiting: CATALOG_WAITING.hold([pool]),
            unanswered: CATALOG_UNANSWERED.with([]),
            _size: max,
        }
    }

    /// One more is in use, and so many are idle.
    pub(crate) fn taken(&self, idle: usize) {
        self.in_use.add(1.0);
        self.rest(idle);
    }

    /// One is in use no more.
    pub(crate) fn returned(&self, idle: usize) {
        self.in_use.add(-1.0);
        self.rest(idle);
    }

    pub(crate) fn unanswered(&self) {
        self.unanswered.increment();
    }

    fn rest(&self, idle: usize) {
        self.idle.set(u32::try_from(idle).map_or(f64::INFINITY, f64::from));
    }
}

/// A call that waits for a connection, or is dropped while it does.
pub(crate) struct Waiting<'g>(&'g Gauges);

impl<'g> Waiting<'g> {
    pub(crate) fn on(gauges: &'g Gauges) -> Self {
        gauges.waiting.add(1.0);
        Self(gauges)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.add(-1.0);
    }
}
