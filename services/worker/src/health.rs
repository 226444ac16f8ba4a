//! What a worker knows of one store: breaker, pause, how much it may have in flight, and what happened since when.
//!
//! "Since" is counted in events, not in time: two things that happen in one microsecond still have an order, and a clock
//! that is set back cannot turn an old probe into a new one.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use n2s_catalog::HealthReport;
use n2s_domain::breaker::{Breaker, Circuit, FAULTS_TO_OPEN};
use n2s_domain::concurrency::{Adaptive, Push};
use n2s_domain::judge::Probe;
use n2s_domain::{Entropy, FailureKind, Timestamp};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// A point in a store's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct StoreHealth {
    inner: Mutex<Inner>,
    changed: Notify,
    /// For what was claimed ahead: one is woken, and wakes the next where there is room for it, too.
    turned: Notify,
}

/// Whether what was claimed may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It counts for the limit from now on.
    Now,
    /// When others have ended.
    Later,
    /// The store is paused, or its circuit open.
    Never,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    paused: bool,
    limit: Adaptive,
    /// What the limit's times are since.
    epoch: Instant,
    batch: u32,
    /// Objects claimed that have not begun.
    waiting: u32,
    events: u64,
    succeeded: Option<Mark>,
    probed: Option<(Mark, Probe)>,
    news: HealthReport,
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
            epoch: Instant::now(),
            batch,
            waiting: 0,
            events: 1,
            succeeded: None,
            probed: None,
            news: HealthReport::default(),
            urgency: None,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new(), turned: Notify::new() }
    }

    /// How many objects may be under way at once at the moment.
    pub(crate) fn permits(&self) -> usize {
        self.lock().limit.limit() as usize
    }

    /// Waits until objects may be claimed, a batch of them if some are under way already; returns how many. For one waiter.
    /// Cancel-safe.
    pub(crate) async fn free(&self) -> usize {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.lock();
                if inner.admits() && inner.room() >= inner.enough() {
                    return inner.room() as usize;
                }
            }
            changed.await;
        }
    }

    /// Whether nothing is under way, nor about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_idle()
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

    /// Objects were claimed that are to begin later.
    pub(crate) fn reserve(&self, objects: u32) {
        let mut inner = self.lock();
        inner.waiting = inner.waiting.saturating_add(objects);
    }

    /// Whether reserved objects may begin; if so, they have.
    pub(crate) fn turn(&self, objects: u32, bound: bool) -> Turn {
        let mut inner = self.lock();
        let turn = inner.turn(objects, bound);
        let next = turn != Turn::Later && inner.waiting > 0;
        drop(inner);
        if next {
            self.turned.notify_one();
        }
        turn
    }

    /// The next moment at which [`Self::turn`] may answer otherwise. Made before it is asked.
    pub(crate) fn turns(&self) -> Notified<'_> {
        self.turned.notified()
    }

    /// Objects have ended, well or not; those that had not begun are claimed no more.
    pub(crate) fn leave(&self, objects: u32, begun: bool) {
        let mut inner = self.lock();
        if begun {
            let now = inner.epoch.elapsed();
            inner.limit.ended(objects, now);
        } else {
            inner.waiting = inner.waiting.saturating_sub(objects);
        }
        drop(inner);
        self.changed.notify_one();
        self.turned.notify_one();
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
        inner.tell(Urgency::Quiet);
    }

    /// The store did not answer usefully.
    pub(crate) fn faulted(&self, now: Timestamp, entropy: &dyn Entropy) {
        let mut inner = self.lock();
        if inner.breaker.admits() {
            inner.breaker = inner.breaker.faulted(now, entropy);
        }
        inner.limit.pushed_back(Push::Failed);
        inner.tell(Urgency::Soon);
    }

    /// The store asked for less, and perhaps said for how long.
    pub(crate) fn throttled(&self, retry_after: Option<Duration>) {
        self.lock().limit.pushed_back(Push::Throttled { retry_after });
    }

    /// The last error, for people.
    pub(crate) fn note_error(&self, kind: FailureKind, message: &str) {
        let mut inner = self.lock();
        inner.news.error = Some((kind, message.to_owned()));
        inner.tell(Urgency::Soon);
    }

    /// Stops sending, or goes on.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.changed.notify_one();
        self.turned.notify_one();
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
            why: inner.limit.why().to_string(),
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

    fn is_idle(&self) -> bool {
        self.limit.in_flight() == 0 && self.waiting == 0
    }

    /// How many more may be claimed: one round ahead where objects go one by one.
    fn room(&self) -> u32 {
        let limit = self.limit.limit();
        let most = if self.batch > 1 { limit } else { limit.saturating_mul(2) };
        most.saturating_sub(self.limit.in_flight()).saturating_sub(self.waiting)
    }

    /// How many must be able to go before any is claimed.
    fn enough(&self) -> u32 {
        let limit = self.limit.limit();
        match self.batch {
            _ if self.is_idle() => 1,
            0 | 1 => (limit / 2).max(1),
            batch => batch.min(limit),
        }
    }

    fn turn(&mut self, objects: u32, bound: bool) -> Turn {
        if !self.admits() {
            return Turn::Never;
        }
        // A batch was claimed for places that were free then.
        let full = self.limit.in_flight().saturating_add(objects) > self.limit.limit();
        if full && self.batch <= 1 {
            return Turn::Later;
        }
        self.waiting = self.waiting.saturating_sub(objects);
        let now = self.epoch.elapsed();
        self.limit.began(objects, bound, now);
        Turn::Now
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use n2s_domain::SeededEntropy;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::slots::Slots;

    const NOW: Timestamp = Timestamp::from_micros(0);

    async fn soon<T>(task: JoinHandle<T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it is woken").unwrap()
    }

    #[test]
    fn only_what_came_later_counts() {
        let (health, entropy) = (StoreHealth::new((1, 8), 1), SeededEntropy::new(1));
        health.succeeded(1);
        let began = health.mark();
        let probe = health.mark();
        assert!(!health.success_since(began));
        health.succeeded(1);
        health.probed(probe, true, NOW, &entropy);
        assert!(health.success_since(began));
        assert_eq!(health.probe_since(began), Probe::Healthy);
        assert_eq!(health.probe_since(health.mark()), Probe::Unknown);
    }

    #[tokio::test]
    async fn nothing_is_free_while_open_or_paused_or_full() {
        let (health, entropy) = (Arc::new(StoreHealth::new((2, 2), 2)), SeededEntropy::new(1));
        let is_free = || tokio::time::timeout(Duration::from_millis(1), health.free());
        assert_eq!(is_free().await.unwrap(), 2);
        let slots = Slots::ahead(&health, 2, true);
        assert!(is_free().await.is_err());
        drop(slots);
        health.set_paused(true);
        assert!(is_free().await.is_err());
        health.set_paused(false);
        health.open(NOW, &entropy);
        assert!(is_free().await.is_err());
        health.probed(health.mark(), true, NOW, &entropy);
        assert_eq!(is_free().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn one_round_is_claimed_ahead_and_begins_as_places_get_free() {
        let health = Arc::new(StoreHealth::new((4, 4), 1));
        let is_free = || tokio::time::timeout(Duration::from_millis(1), health.free());
        assert_eq!(is_free().await.unwrap(), 8);
        let mut all = Slots::ahead(&health, 8, true);
        assert!(is_free().await.is_err());
        let mut begun: Vec<_> = (0..4).map(|_| all.take(1)).collect();
        for slots in &mut begun {
            assert!(slots.begin().await);
        }
        let mut ahead: Vec<_> = (0..4).map(|_| all.take(1)).collect();
        let waiting: Vec<_> = ahead
            .drain(..)
            .map(|mut slots| tokio::spawn(async move { (slots.begin().await, slots) }))
            .collect();
        tokio::task::yield_now().await;
        assert_eq!((health.in_flight(), health.is_idle()), (4, false));
        drop(begun.pop());
        // Not for one place alone.
        assert!(is_free().await.is_err());
        drop(begun);
        assert_eq!(is_free().await.unwrap(), 4);
        let mut rest = Vec::new();
        for begun in waiting {
            let (began, slots) = soon(begun).await;
            assert!(began);
            rest.push(slots);
        }
        assert_eq!(health.in_flight(), 4);
        drop(rest);
        assert!(health.is_idle());
    }

    #[tokio::test]
    async fn what_waits_for_its_turn_learns_that_none_comes() {
        let health = Arc::new(StoreHealth::new((1, 1), 1));
        let mut first = Slots::ahead(&health, 1, true);
        assert!(first.begin().await);
        let wait = |mut slots: Slots| tokio::spawn(async move { slots.begin().await });
        let waiting: Vec<_> = (0..3).map(|_| wait(Slots::ahead(&health, 1, true))).collect();
        tokio::task::yield_now().await;
        health.set_paused(true);
        for turn in waiting {
            assert!(!soon(turn).await);
        }
        drop(first);
        assert!(health.is_idle());
    }
}
