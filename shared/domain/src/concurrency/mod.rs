//! How many operations a store gets at once: found by trying, never by an operator.
//!
//! It begins low and doubles while doubling pays, twice where that brought all that it could. Then it stays, and every few readings
//! tries a little more or a little less for as long as a reading takes; what pays, or costs nothing, is kept. When the store pushes
//! back, the limit that was too much is remembered. What lies between it and the last one that was well is halved: at once while rising,
//! trial by trial later; where none was well, it goes down by a tenth, a quarter, and then by halves. The ceiling itself is tried again
//! after some seconds, or after what the store asked for (Retry-After), so that a store that grew is found out; then a little more,
//! because mostly it has not. A rate that moves by itself by a third starts the doubling anew. Where everything is refused, less than one
//! at a time is asked (`rest.rs`).
//!
//! A reading begins when everything that began under the former limit has ended, and counts only if the limit, not a lack of work, is what
//! held most of it back. It lasts one round of operations and a second at least; while the limit doubles, a fifth of one and two rounds.
//!
//! Rejected: latency gradients (Vegas and its kin), which read the queueing inside one's own disk as congestion, and a store
//! that is slow per operation as full; plain AIMD, whose sawtooth costs a quarter of what a throttling store would take, and
//! which never learns that more brings nothing; a climb by small steps only, which takes minutes from 4 to 200.

mod ceiling;
mod gauge;
mod phase;
mod point;
mod rest;
mod why;

use std::time::Duration;

use ceiling::Ceiling;
use gauge::{Gauge, Reading};
use phase::{Phase, Way};
use point::{NOISE, Point, pays, pays_fully};
use rest::Rest;
pub use why::{Push, Why};

/// The adaptive limit of one store. Times are since any fixed moment, by a clock that is never set back.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    min: u32,
    max: u32,
    limit: u32,
    in_flight: u32,
    /// When the last operation ended.
    ended_at: Duration,
    gauge: Gauge,
    phase: Phase,
    ceiling: Option<Ceiling>,
    /// How many times in a row it went down without a limit to return to.
    yielded: u32,
    rest: Rest,
    why: Why,
}

/// Readings between two trials, at most.
const PATIENCE_MAX: u32 = 16;
/// Longer than this nothing is under way only where there is nothing to do.
const IDLE: Duration = Duration::from_millis(250);
/// A rate that moved this much by itself is another store, so to say.
const ANOTHER: f64 = 1.3;

impl Adaptive {
    /// A limit between `min` and `max`, both at least 1, that starts low. Equal bounds fix it.
    pub fn new(min: u32, max: u32) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        let limit = min.saturating_mul(4).min(max);
        let why = if min == max { Why::Fixed } else { Why::Starting };
        Self {
            min,
            max,
            limit,
            in_flight: 0,
            ended_at: Duration::ZERO,
            gauge: Gauge::default(),
            phase: Phase::Rising { before: None },
            ceiling: None,
            yielded: 0,
            rest: Rest::default(),
            why,
        }
    }

    /// Operations allowed at once.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Operations under way.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What was decided last, and why.
    pub fn why(&self, now: Duration) -> Why {
        if self.rest.left(now).is_some() { Why::Resting } else { self.why }
    }

    /// Operations begin. `bound` says whether the limit is what kept more from beginning with them.
    pub fn began(&mut self, objects: u32, bound: bool, now: Duration) {
        if self.in_flight == 0 && now.saturating_sub(self.ended_at) > IDLE {
            // An idle time is no part of a reading. What passes between one batch and the next is.
            self.gauge = Gauge::after(0, now);
        }
        self.in_flight = self.in_flight.saturating_add(objects);
        self.gauge.began(bound);
    }

    /// One was acknowledged, and brought so much.
    pub fn stored(&mut self, work: u64) {
        self.rest.over();
        self.gauge.stored(work);
    }

    /// For one, the store asked for less or failed.
    pub fn pushed_back(&mut self, push: Push, now: Duration) {
        self.rest.refused(push, now);
        self.gauge.pushed_back(push);
    }

    /// How long nothing should begin yet, because the store refuses everything. A minute at most.
    pub fn rest(&self, now: Duration) -> Option<Duration> {
        self.rest.left(now)
    }

    /// Operations have ended, well or not; the limit may be another one now.
    pub fn ended(&mut self, objects: u32, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(objects);
        self.ended_at = now;
        self.gauge.ended(objects, now);
        if self.min == self.max {
            return;
        }
        let rising = matches!(self.phase, Phase::Rising { .. });
        match self.gauge.read(self.limit, now, if rising { gauge::ROUGH } else { gauge::FINE }) {
            Reading::Unripe => {}
            Reading::PushedBack(push) => self.give_way(push, now),
            Reading::Slack => self.idle(now),
            Reading::Rate(rate) => self.learn(rate, now),
        }
    }

    /// The store is back after an outage: what it could take before says nothing.
    pub fn recovered(&mut self, now: Duration) {
        self.ceiling = None;
        self.yielded = 0;
        self.rest.over();
        self.phase = Phase::Rising { before: None };
        self.gauge = Gauge::after(self.in_flight, now);
    }

    /// There was less work than it might have taken, so nothing was learnt.
    fn idle(&mut self, now: Duration) {
        if let Phase::Trying { home, patience, way } = self.phase {
            self.phase = Phase::Holding { rate: home.rate, left: patience, patience, way };
            self.limit = home.limit;
        }
        self.why = Why::NotNeeded;
        self.gauge = Gauge::after(self.in_flight, now);
    }

    fn give_way(&mut self, push: Push, now: Duration) {
        let at = self.limit;
        self.ceiling = Some(Ceiling::met(self.ceiling, (at, push), now));
        let (to, phase) = match self.phase {
            Phase::Trying { home, patience, .. } if home.limit < at => {
                (home.limit, Phase::Holding { rate: home.rate, left: 1, patience, way: Way::Up })
            }
            Phase::Rising { before: Some(home) } if home.limit < at => return self.halve(home, push, now),
            _ => {
                let down = match self.yielded {
                    0 => at - at.div_ceil(10),
                    1 => at - at.div_ceil(4),
                    _ => at / 2,
                };
                self.yielded += 1;
                (down, Phase::Rising { before: None })
            }
        };
        self.phase = phase;
        self.go(to, now);
        self.why = Why::GaveWay { push: push.kind(), from: at, to: self.limit };
    }

    /// Too much was found while rising: what is between that and the last limit that was well is halved at once.
    fn halve(&mut self, home: Point, push: Push, now: Duration) {
        let at = std::mem::replace(&mut self.limit, home.limit);
        let next = self.above(at, now);
        self.phase = if next > home.limit {
            Phase::Rising { before: Some(home) }
        } else {
            Phase::Holding { rate: home.rate, left: 1, patience: 1, way: Way::Up }
        };
        self.limit = at;
        self.go(next, now);
        self.why = Why::GaveWay { push: push.kind(), from: at, to: self.limit };
    }

    fn learn(&mut self, rate: f64, now: Duration) {
        self.yielded = 0;
        let here = Point { limit: self.limit, rate };
        if self.ceiling.is_some_and(|ceiling| here.limit >= ceiling.at) {
            // It takes what was too much before.
            self.ceiling = None;
            self.why = Why::Reopened { at: here.limit };
            // Mostly it is just at its bound, and no other store than before: a little more tells.
            return self.attempt(here, (1, Way::Up), now);
        }
        match self.phase {
            Phase::Rising { before: None } => self.rise(here, now),
            Phase::Rising { before: Some(before) } if pays(before, here) => {
                self.why = Why::rose(before.limit, here.limit, here.rate / before.rate);
                self.rise(here, now);
            }
            Phase::Rising { before: Some(home) } => self.back(home, here, (1, Way::Up), now),
            Phase::Holding { rate: known, left, patience, way } => {
                self.hold(known, here, (left, patience, way), now);
            }
            Phase::Trying { home, way: Way::Up, .. } if pays(home, here) => {
                self.why = Why::rose(home.limit, here.limit, here.rate / home.rate);
                self.rise(here, now);
            }
            Phase::Trying { home, way: Way::Down, .. } if here.rate >= home.rate * (1.0 - NOISE / 2.0) => {
                self.why = Why::fell(home.limit, here.limit, here.rate / home.rate);
                self.attempt(here, (1, Way::Down), now);
            }
            Phase::Trying { home, patience, way } => self.back(home, here, (patience, way), now),
        }
    }

    /// Doubles, or stays where it cannot; twice where the last time brought nearly all that it could.
    fn rise(&mut self, here: Point, now: Duration) {
        // What brought all that it could leaves little to find below it, either.
        let (times, patience) = match self.phase {
            Phase::Rising { before: Some(before) } if pays_fully(before, here) => (4, 4),
            _ => (2, 1),
        };
        let next = self.above(here.limit.saturating_mul(times), now);
        if next > here.limit {
            self.phase = Phase::Rising { before: Some(here) };
            return self.go(next, now);
        }
        if here.limit == self.max {
            self.why = Why::AtMost;
        }
        self.phase = Phase::Holding { rate: here.rate, left: patience, patience, way: Way::Down };
        self.go(here.limit, now);
    }

    fn hold(&mut self, known: f64, here: Point, (left, patience, way): (u32, u32, Way), now: Duration) {
        if here.rate > known * ANOTHER || here.rate * ANOTHER < known {
            self.why = Why::Moved { brought: why::change(here.rate / known) };
            return self.rise(here, now);
        }
        let rate = f64::midpoint(known, here.rate);
        let due = self.ceiling.is_some_and(|ceiling| ceiling.is_due(now));
        if left > 1 && !due {
            self.phase = Phase::Holding { rate, left: left - 1, patience, way };
            return self.go(here.limit, now);
        }
        self.attempt(Point { rate, ..here }, (patience, if due { Way::Up } else { way }), now);
    }

    /// Tries another limit than `home`; where there is none that way, the other way comes next.
    fn attempt(&mut self, home: Point, (patience, way): (u32, Way), now: Duration) {
        let next = match way {
            Way::Up => self.above(home.limit.saturating_add(home.limit.div_ceil(4)), now),
            // Below a ceiling only the way up leads anywhere.
            Way::Down if self.ceiling.is_some() => home.limit,
            Way::Down => (home.limit - home.limit.div_ceil(5)).max(self.min),
        };
        if next == home.limit {
            let patience = (patience * 2).min(PATIENCE_MAX);
            self.phase = Phase::Holding { rate: home.rate, left: patience, patience, way: way.other() };
            return self.go(home.limit, now);
        }
        self.phase = Phase::Trying { home, patience, way };
        self.go(next, now);
    }

    /// Back to a limit that is better than this one.
    fn back(&mut self, home: Point, here: Point, (patience, way): (u32, Way), now: Duration) {
        self.why = Why::held(home.limit, here.limit, here.rate / home.rate);
        let patience = (patience * 2).min(PATIENCE_MAX);
        self.phase = Phase::Holding { rate: home.rate, left: patience, patience, way: way.other() };
        self.go(home.limit, now);
    }

    /// The next limit above this one, no higher than `wanted`: half-way to a ceiling, or the ceiling where it is due.
    fn above(&self, wanted: u32, now: Duration) -> u32 {
        let top = self.ceiling.map_or(self.max, |ceiling| ceiling.below(self.limit, now));
        wanted.min(top).clamp(self.limit, self.max)
    }

    fn go(&mut self, limit: u32, now: Duration) {
        let limit = limit.clamp(self.min, self.max);
        // Under the same limit nothing has to run out first.
        let former = if limit == self.limit { 0 } else { self.in_flight };
        self.limit = limit;
        self.gauge = Gauge::after(former, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Rounds of one operation each, all answered the same way; a round is 100 ms, and half of them end at a time.
    fn rounds(limit: &mut Adaptive, rounds: u32, from: u32, answer: impl Fn(&mut Adaptive)) {
        for n in 0..rounds {
            let now = MS * 100 * (from + n);
            let free = limit.limit().saturating_sub(limit.in_flight());
            limit.began(free, true, now);
            let ending = limit.in_flight().div_ceil(2);
            (0..ending).for_each(|_| answer(limit));
            limit.ended(ending, now + MS * 100);
        }
    }

    #[test]
    fn equal_bounds_fix_it_whatever_happens() {
        let mut limit = Adaptive::new(16, 16);
        rounds(&mut limit, 50, 0, |limit| limit.stored(1));
        rounds(&mut limit, 50, 50, |limit| limit.pushed_back(Push::Failed, Duration::ZERO));
        assert_eq!((limit.limit(), limit.why(MS * 9_999)), (16, Why::Fixed));
    }

    #[test]
    fn more_is_taken_while_it_pays_and_no_more_than_allowed() {
        let mut limit = Adaptive::new(1, 100);
        assert_eq!(limit.limit(), 4);
        rounds(&mut limit, 100, 0, |limit| limit.stored(1));
        assert_eq!(limit.limit(), 100);
    }

    #[test]
    fn a_store_that_pushes_back_gets_less_and_is_tried_again_when_it_asked_for_that() {
        let mut limit = Adaptive::new(1, 64);
        rounds(&mut limit, 100, 0, |limit| limit.stored(1));
        let wait = Push::Throttled { retry_after: Some(Duration::from_mins(1)) };
        rounds(&mut limit, 3, 100, |limit| limit.pushed_back(wait, Duration::ZERO));
        assert!(limit.limit() < 60, "{}", limit.limit());
        assert!(matches!(limit.why(MS * 10_300), Why::GaveWay { from, to, .. } if to < from), "{limit:?}");
        let low = limit.limit();
        rounds(&mut limit, 500, 103, |limit| limit.stored(1));
        assert!((low..64).contains(&limit.limit()), "{} within the minute", limit.limit());
        rounds(&mut limit, 500, 703, |limit| limit.stored(1));
        assert!(limit.limit() >= 51, "{} after it", limit.limit());
    }

    #[test]
    fn a_store_that_only_pushes_back_gets_the_least() {
        let mut limit = Adaptive::new(2, 64);
        rounds(&mut limit, 100, 0, |limit| limit.pushed_back(Push::Failed, Duration::ZERO));
        assert_eq!(limit.limit(), 2);
        limit.recovered(MS * 20_000);
        rounds(&mut limit, 100, 200, |limit| limit.stored(1));
        assert!(limit.limit() >= 51, "{} after it came back", limit.limit());
    }

    #[test]
    fn operations_that_all_end_before_the_next_begin_are_no_idle_time() {
        let mut limit = Adaptive::new(1, 64);
        for n in 0..100 {
            let all = limit.limit();
            limit.began(all, true, MS * 100 * n + MS * 20);
            (0..all).for_each(|_| limit.stored(1));
            limit.ended(all, MS * 100 * (n + 1));
        }
        assert!(limit.limit() >= 51, "{limit:?}");
    }

    #[test]
    fn where_work_is_short_nothing_is_learnt() {
        let mut limit = Adaptive::new(1, 64);
        for n in 0..100 {
            limit.began(1, false, MS * 100 * n);
            limit.stored(1);
            limit.ended(1, MS * 100 * (n + 1));
        }
        assert_eq!(limit.limit(), 4);
    }
}
