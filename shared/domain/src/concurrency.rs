//! How many operations a store gets at once: found by trying, never by an operator.
//!
//! A hill climb on throughput: while the limit is what holds the work back and more concurrency brought more bytes
//! through, go on; when it stopped helping, step back to where it last did; when the store throttles or fails, halve.
//! Rejected: latency gradients (Vegas and its kin), which read the queueing inside one's own disk as congestion.

use std::time::Duration;

/// What one interval looked like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// How long it was.
    pub length: Duration,
    /// Bytes acknowledged, plus a fixed toll per operation so that tiny objects count.
    pub work: u64,
    /// Whether the limit was reached at some time, so that a higher one could have helped.
    pub saturated: bool,
    /// Whether the store throttled or faulted.
    pub pushed_back: bool,
}

/// The adaptive limit of one store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    min: u32,
    max: u32,
    current: u32,
    rate_before: f64,
    rising: bool,
}

/// A change of less than this is noise.
const GAIN: f64 = 1.05;

impl Limit {
    /// A limit between `min` and `max`, both at least 1, that starts low.
    pub fn new(min: u32, max: u32) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        Self { min, max, current: (min * 4).min(max), rate_before: 0.0, rising: true }
    }

    /// Operations allowed at once.
    pub const fn current(&self) -> u32 {
        self.current
    }

    /// Learns from an interval.
    #[must_use]
    pub fn observed(self, interval: Interval) -> Self {
        if interval.pushed_back {
            return Self {
                current: (self.current / 2).max(self.min),
                rate_before: 0.0,
                rising: true,
                ..self
            };
        }
        if !interval.saturated || interval.length.is_zero() {
            return self;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rate = interval.work as f64 / interval.length.as_secs_f64();
        // Upward only while it pays; downward until it costs.
        let rising =
            if self.rising { rate > self.rate_before * GAIN } else { rate * GAIN < self.rate_before };
        let step = (self.current / 4).max(1);
        let current = if rising { self.current + step } else { self.current.saturating_sub(step) };
        Self { current: current.clamp(self.min, self.max), rate_before: rate, rising, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that gives `per_op` work to each of up to `useful` operations.
    fn settle(useful: u32) -> u32 {
        let mut limit = Limit::new(1, 64);
        for _ in 0..40 {
            let work = u64::from(limit.current().min(useful)) * 1_000;
            limit = limit.observed(Interval {
                length: Duration::from_secs(1),
                work,
                saturated: true,
                pushed_back: false,
            });
        }
        limit.current()
    }

    #[test]
    fn finds_what_the_store_can_use() {
        assert!((4..=14).contains(&settle(8)), "settled at {}", settle(8));
        assert!(settle(200) >= 40, "settled at {}", settle(200));
    }

    #[test]
    fn halves_when_pushed_back_and_rests_when_idle() {
        let limit = Limit::new(2, 64);
        let idle = Interval { length: Duration::from_secs(1), work: 0, saturated: false, pushed_back: false };
        assert_eq!(limit.observed(idle).current(), limit.current());
        let pushed = (0..9).fold(limit, |limit, _| limit.observed(Interval { pushed_back: true, ..idle }));
        assert_eq!(pushed.current(), 2);
    }
}
