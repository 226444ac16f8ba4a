//! What a worker does at a store, for `n2s backends`: how much it may have in flight, why, and whether it drains.
//!
//! Reported when it changes, at most every few seconds, and else often enough to count as alive. A worker that ends sooner than that, as
//! that of a short push does, is never seen.

use std::time::Duration;

use n2s_catalog::{LANE_SILENCE_MAX, LaneReport};
use tokio::time::Instant;

use crate::failure::report;
use crate::store::{Shared, Store};

/// Between two reports of a lane that changes; the first comes as late.
const CHANGED_EVERY: Duration = Duration::from_secs(2);

/// What was reported last.
#[derive(Debug)]
pub(crate) struct Presence {
    last: Option<LaneReport>,
    at: Instant,
}

impl Default for Presence {
    fn default() -> Self {
        Self { last: None, at: Instant::now() }
    }
}

impl Presence {
    /// Reports, if it is time to.
    pub(crate) async fn show(&mut self, shared: &Shared, store: &Store, draining: bool) {
        let silent = self.at.elapsed();
        let drains = draining && self.last.as_ref().is_some_and(|last| !last.draining);
        if silent < CHANGED_EVERY && !drains {
            return;
        }
        let now = seen(shared, store, draining);
        let news = self.last.as_ref().is_none_or(|last| differs(last, &now));
        if !news && silent < LANE_SILENCE_MAX / 3 {
            return;
        }
        self.at = Instant::now();
        match shared.catalog().report_lane(store.deps.id, &now).await {
            Ok(()) => self.last = Some(now),
            Err(error) => {
                tracing::debug!(backend.name = %store.deps.name, error = report(&error), "not shown at work");
            }
        }
        shared.shown.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn seen(shared: &Shared, store: &Store, draining: bool) -> LaneReport {
    let allowance = store.health.allowance();
    LaneReport {
        worker: shared.settings.name.clone(),
        draining,
        limit: allowance.limit,
        in_flight: allowance.in_flight,
        why: allowance.why,
    }
}

/// Whether that is worth a row: how much is in flight changes all the time, whether anything is does not.
fn differs(last: &LaneReport, now: &LaneReport) -> bool {
    let idle = |report: &LaneReport| report.in_flight == 0;
    (last.limit, &last.why, last.draining, idle(last)) != (now.limit, &now.why, now.draining, idle(now))
}

/// The worker has ended.
pub(crate) async fn leave(shared: &Shared) {
    if shared.shown.load(std::sync::atomic::Ordering::Relaxed)
        && let Err(error) = shared.catalog().forget_lanes(&shared.settings.name).await
    {
        tracing::debug!(error = report(&error), "still shown at work, for a while");
    }
}
