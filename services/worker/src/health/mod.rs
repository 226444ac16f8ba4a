//! What a worker knows of one store: breaker, pause, how much it may have in flight, and what happened since when.
//!
//! "Since" is counted in events, not in time: two things that happen in one microsecond still have an order, and a clock
//! that is set back cannot turn an old probe into a new one.

mod ahead;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use n2s_catalog::HealthReport;
use n2s_domain::breaker::{Breaker, Circuit, FAULTS_TO_OPEN};
use n2s_domain::concurrency::{Adaptive, Push};
use n2s_domain::judge::Probe;
use n2s_domain::{Entropy, FailureKind, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use ahead::Ahead;
pub(crate) use slots::Slots;

/// A point in a store's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct StoreHealth {
    inner: Mutex<Inner>,
    /// Heard by the lane: there may be room for more claims.
    changed: Notify,
    /// Whose turn it is to begin, in the order of asking.
    turn: tokio::sync::Mutex<()>,
    /// Heard by the one whose turn it is.
    ended: Notify,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    paused: bool,
    limit: Adaptive,
    /// Claimed and not begun.
    waiting: u32,
    ahead: Ahead,
    /// What the limit's times are since.
    epoch: Instant,
    batch: u32,
    events: u64,
    succeeded: Option<Mark>,
    probed: Option<(Mark, Probe)>,
    news: HealthReport,
    /// Since its last success there was an error.
    troubled: bool,
    urgency: Option<Urgency>,
}

/// How soon the catalog should hear what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Objects arrived: some time.
    Quiet,
    /// Something changed.
    Soon,
}

/// What the adaptive limit is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub limit: u32,
    pub in_flight: u32,
    pub why: String,
}

/// What one operation costs a store besides its bytes, in bytes.
const TOLL: u64 = 64 * 1024;

impl StoreHealth {
    pub(crate) fn new((min, max): (u32, u32), batch: u32) -> Self {
        let inner = Inner {
            breaker: Breaker::default(),
            paused: false,
            limit: Adaptive::new(min, max),
            waiting: 0,
            ahead: Ahead::default(),
            epoch: Instant::now(),
            batch,
            events: 1,
            succeeded: None,
            probed: None,
            news: HealthReport::default(),
            troubled: false,
            urgency: None,
        };
        Self {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// How many objects may be held at once at the moment: those that may be under way, and those claimed ahead.
    pub(crate) fn permits(&self) -> usize {
        self.lock().permits() as usize
    }

    /// Waits until objects may be claimed, a batch of them if some are held already; returns how many. `None` where nothing may go to the store
    /// for now. For one waiter. Cancel-safe.
    pub(crate) async fn free(&self) -> Option<usize> {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.lock();
                if !inner.admits() || inner.rest().is_some() {
                    return None;
                }
                if inner.room() >= inner.enough() {
                    return Some(inner.room() as usize);
                }
            }
            changed.await;
        }
    }

    /// Waits until something may go to the store. For the one waiter of [`Self::free`]. Cancel-safe.
    pub(crate) async fn open_again(&self) {
        loop {
            let changed = self.changed.notified();
            let rest = {
                let inner = self.lock();
                match inner.rest() {
                    None if inner.admits() => return,
                    rest => rest.filter(|_| inner.admits()),
                }
            };
            match rest {
                // That a rest is over is told by nobody.
                Some(rest) => drop(tokio::time::timeout(rest, changed).await),
                None => changed.await,
            }
        }
    }

    /// How many objects may be under way at once at the moment.
    pub(crate) fn limit(&self) -> u32 {
        self.lock().limit.limit()
    }

    /// How long the store is left alone, which refused everything for a while.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.lock().rest()
    }

    /// Whether nothing is held.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().held() == 0
    }

    /// A claim took so long.
    pub(crate) fn claimed_in(&self, took: Duration) {
        let mut inner = self.lock();
        let limit = inner.limit.limit();
        inner.ahead.claimed(took, limit);
    }

    /// How many objects are under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.lock().limit.in_flight()
    }

    /// Whether the circuit is open.
    pub(crate) fn is_open(&self) -> bool {
        !self.lock().breaker.admits()
    }

    /// Whether objects may be sent.
    pub(crate) fn admits(&self) -> bool {
        self.lock().admits()
    }

    /// Counts objects as held until the answer is dropped. `bound` says whether there may be more to do than the permits allow.
    ///
    /// Rejected: to call it bound when nothing more is free now, since what ended during the claim is free again by then.
    pub(crate) fn occupy(self: &Arc<Self>, objects: usize, bound: bool) -> Slots {
        let objects = u32::try_from(objects).unwrap_or(u32::MAX);
        let mut inner = self.lock();
        inner.waiting = inner.waiting.saturating_add(objects);
        drop(inner);
        Slots::new(self, objects, bound)
    }

    /// Now, for later questions.
    pub(crate) fn mark(&self) -> Mark {
        self.lock().tick()
    }

    /// An object was acknowledged.
    pub(crate) fn succeeded(&self, bytes: u64) {
        let mut inner = self.lock();
        inner.breaker = inner.breaker.succeeded();
        inner.succeeded = Some(inner.tick());
        inner.limit.stored(bytes.saturating_add(TOLL));
        inner.news.success = true;
        // That an error is over is worth as much as the error.
        let urgency = if std::mem::take(&mut inner.troubled) { Urgency::Soon } else { Urgency::Quiet };
        inner.tell(urgency);
    }

    /// The store did not answer usefully.
    pub(crate) fn faulted(&self, now: Timestamp, entropy: &dyn Entropy) {
        let mut inner = self.lock();
        if inner.breaker.admits() {
            inner.breaker = inner.breaker.faulted(now, entropy);
        }
        let since = inner.epoch.elapsed();
        inner.limit.pushed_back(Push::Failed, since);
        inner.tell(Urgency::Soon);
        drop(inner);
        self.changed.notify_one();
        self.ended.notify_one();
    }

    /// The store asked for less, and perhaps said for how long.
    pub(crate) fn throttled(&self, retry_after: Option<Duration>) {
        let mut inner = self.lock();
        let since = inner.epoch.elapsed();
        inner.limit.pushed_back(Push::Throttled { retry_after }, since);
    }

    /// The last error, for people.
    pub(crate) fn note_error(&self, kind: FailureKind, message: &str) {
        let mut inner = self.lock();
        inner.news.error = Some((kind, message.to_owned()));
        inner.troubled = true;
        inner.tell(Urgency::Soon);
    }

    /// Stops sending, or goes on.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.changed.notify_one();
        self.ended.notify_one();
    }

    /// Whether a probe or an earlier process paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// A health probe that began at `began` has ended.
    pub(crate) fn probed(&self, began: Mark, healthy: bool, now: Timestamp, entropy: &dyn Entropy) {
        let mut inner = self.lock();
        inner.probed = Some((began, if healthy { Probe::Healthy } else { Probe::Unhealthy }));
        if healthy && !inner.breaker.admits() {
            let since = inner.epoch.elapsed();
            inner.limit.recovered(since);
        }
        inner.breaker = inner.breaker.probed(healthy, now, entropy);
        inner.tell(Urgency::Soon);
        drop(inner);
        self.changed.notify_one();
    }

    /// Opens the circuit although nothing failed here yet: an earlier process saw it fail.
    pub(crate) fn open(&self, now: Timestamp, entropy: &dyn Entropy) {
        let mut inner = self.lock();
        while inner.breaker.admits() {
            inner.breaker = inner.breaker.faulted(now, entropy);
        }
    }

    /// What a probe that began after `since` said.
    pub(crate) fn probe_since(&self, since: Mark) -> Probe {
        self.lock().probed.filter(|(began, _)| *began > since).map_or(Probe::Unknown, |(_, probe)| probe)
    }

    /// Whether an object was acknowledged after `since`.
    pub(crate) fn success_since(&self, since: Mark) -> bool {
        self.lock().succeeded.is_some_and(|at| at > since)
    }

    /// Faults in a row, as far as patience should grow with them: once the circuit is open, probes decide.
    pub(crate) fn faults(&self) -> u32 {
        self.lock().breaker.faults.min(FAULTS_TO_OPEN)
    }

    /// Whether the open circuit wants its probe.
    pub(crate) fn wants_probe(&self, now: Timestamp) -> bool {
        self.lock().breaker.wants_probe(now)
    }

    /// Whether there are news, and how soon they should be told.
    pub(crate) fn urgency(&self) -> Option<Urgency> {
        self.lock().urgency
    }

    /// What happened since the last call; `None` when nothing did.
    pub(crate) fn news(&self, now: Timestamp) -> Option<HealthReport> {
        let mut inner = self.lock();
        inner.urgency.take()?;
        let open_for = match inner.breaker.circuit {
            Circuit::Closed => None,
            Circuit::Open { probe_at } => Some(probe_at.since(now)),
        };
        let concurrency = Some(inner.limit.limit());
        Some(HealthReport { open_for, concurrency, ..std::mem::take(&mut inner.news) })
    }

    /// How much it may have in flight, and why.
    pub(crate) fn allowance(&self) -> Allowance {
        let inner = self.lock();
        Allowance {
            limit: inner.limit.limit(),
            in_flight: inner.limit.in_flight(),
            why: inner.limit.why(inner.epoch.elapsed()).to_string(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock can panic")
    }
}

impl Inner {
    fn admits(&self) -> bool {
        !self.paused && self.breaker.admits()
    }

    fn tick(&mut self) -> Mark {
        self.events += 1;
        Mark(self.events)
    }

    fn tell(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(Some(urgency));
    }

    fn rest(&self) -> Option<Duration> {
        self.limit.rest(self.epoch.elapsed())
    }

    fn held(&self) -> u32 {
        self.limit.in_flight().saturating_add(self.waiting)
    }

    fn permits(&self) -> u32 {
        self.limit.limit().saturating_add(self.ahead.objects())
    }

    /// How many more may be claimed.
    fn room(&self) -> u32 {
        self.permits().saturating_sub(self.held())
    }

    /// How many must be able to go before any is claimed. What ends during one claim is claimed at once: the other half of what is claimed ahead
    /// lasts as long as that claim does.
    fn enough(&self) -> u32 {
        let many = self.batch.max(self.ahead.objects() / 2);
        if self.held() == 0 { 1 } else { many.clamp(1, self.limit.limit()) }
    }

    /// Begins so many, unless the limit is reached.
    fn begin(&mut self, objects: u32, bound: bool) -> Option<Duration> {
        let in_flight = self.limit.in_flight();
        if in_flight > 0 && in_flight.saturating_add(objects) > self.limit.limit() {
            return None;
        }
        self.waiting = self.waiting.saturating_sub(objects);
        let now = self.epoch.elapsed();
        self.limit.began(objects, bound || self.waiting > 0, now);
        Some(now)
    }
}
