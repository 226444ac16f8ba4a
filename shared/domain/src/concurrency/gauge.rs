//! One reading of what a limit brings.

use std::time::Duration;

use super::why::Push;

/// What happened under one limit so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gauge {
    /// Operations still under way that began under the former limit; nothing counts until they have ended.
    former: u32,
    since: Duration,
    ended: u32,
    work: u64,
    pushes: u32,
    push: Option<Push>,
    /// Beginnings that the limit bound, and those that it did not.
    bound: u32,
    free: u32,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// Not enough has happened.
    Unripe,
    /// The store does not want so much.
    PushedBack(Push),
    /// Work was short, so nothing can be said about the limit.
    Slack,
    /// Work per second.
    Rate(f64),
}

/// How long a reading takes at least: while doubling shows in any case, and while a few per cent matter. Operations that began together end
/// together, so that a reading may hold a wave of them more or less.
pub(super) const ROUGH: Duration = Duration::from_millis(200);
/// See [`ROUGH`].
pub(super) const FINE: Duration = Duration::from_secs(1);
/// Below this a reading holds two rounds at least.
const SHORT: Duration = Duration::from_millis(500);
/// How many operations it takes at least.
const ENDED_MIN: u32 = 4;
/// One push in so many operations is no push: any store has a bad moment.
const TOLERATED: u32 = 50;

impl Gauge {
    pub(super) fn after(former: u32, now: Duration) -> Self {
        Self { former, since: now, ..Self::default() }
    }

    pub(super) fn began(&mut self, bound: bool) {
        let count = if bound { &mut self.bound } else { &mut self.free };
        *count = count.saturating_add(1);
    }

    pub(super) fn stored(&mut self, work: u64) {
        if self.former == 0 {
            self.work = self.work.saturating_add(work);
        }
    }

    pub(super) fn pushed_back(&mut self, push: Push) {
        if self.former == 0 {
            self.pushes = self.pushes.saturating_add(1);
            self.push = Some(self.push.map_or(push, |earlier| earlier.and(push)));
        }
    }

    pub(super) fn ended(&mut self, objects: u32, now: Duration) {
        if self.former > 0 {
            self.former = self.former.saturating_sub(objects);
            self.since = now;
        } else {
            self.ended = self.ended.saturating_add(objects);
        }
    }

    pub(super) fn read(&self, limit: u32, now: Duration, length_min: Duration) -> Reading {
        if let Some(push) = self.push
            && self.pushes >= 2
            && self.pushes.saturating_mul(TOLERATED) >= self.ended
            && (self.ended >= limit || self.pushes > limit / 2)
        {
            return Reading::PushedBack(push);
        }
        let length = now.saturating_sub(self.since);
        // In a short one, a wave more or less would count too much.
        let rounds = if length < SHORT { 2 } else { 1 };
        if length < length_min || self.ended < limit.saturating_mul(rounds).max(ENDED_MIN) {
            return Reading::Unripe;
        }
        if self.bound <= self.free {
            return Reading::Slack;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rate = self.work as f64 / length.as_secs_f64();
        Reading::Rate(rate)
    }
}
