//! Exponential backoff with full jitter: the one module that uses the `backoff` crate.
//!
//! The crate is unmaintained but named by the people n2s is built for; it computes the ceilings here, with its own
//! randomness and its 15-minute end switched off, and nothing else of it is used. Randomness comes in from outside,
//! so that a test or a model replays exactly.

use std::time::Duration;

use ::backoff::{ExponentialBackoff, backoff::Backoff as _};

use crate::limits::RETRY_DELAY_MAX;
use crate::random::Entropy;

/// How often and how patiently an object is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may fail by the object's own fault before it counts as failed.
    pub attempts_max: u32,
    /// The ceiling of the first delay; it doubles with each attempt.
    pub base: Duration,
    /// The ceiling of the ceiling.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: 8, base: Duration::from_millis(100), cap: Duration::from_mins(5) }
    }
}

impl RetryPolicy {
    /// The longest delay after the `attempt`th failure, counted from 1: `base · 2^(attempt−1)`, capped.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let mut steps = ExponentialBackoff {
            current_interval: self.base,
            initial_interval: self.base,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: self.cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        // 64 doublings of a nanosecond exceed any cap.
        let reached = (0..attempt.clamp(1, 64)).filter_map(|_| steps.next_backoff()).last();
        reached.unwrap_or(self.cap).min(self.cap)
    }

    /// A delay drawn evenly from zero to the ceiling, but never shorter than the store asked for, and never longer than
    /// [`RETRY_DELAY_MAX`].
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>, entropy: &dyn Entropy) -> Duration {
        let ceiling = u64::try_from(self.ceiling(attempt).as_micros()).unwrap_or(u64::MAX - 1);
        let jittered = Duration::from_micros(entropy.next_u64() % (ceiling + 1));
        jittered.max(retry_after.unwrap_or(Duration::ZERO)).min(RETRY_DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededEntropy;

    #[test]
    fn ceilings_double_from_100_ms_to_the_cap() {
        let policy = RetryPolicy { cap: Duration::from_secs(2), ..RetryPolicy::default() };
        let ceilings: Vec<u128> = (1..=7).map(|n| policy.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(policy.ceiling(u32::MAX), Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn delays_stay_between_what_the_store_asked_and_the_ceiling(seed: u64, attempt in 1u32..100, asked in 0u64..5_000) {
            let policy = RetryPolicy::default();
            let asked = Duration::from_millis(asked);
            let delay = policy.delay(attempt, Some(asked), &SeededEntropy::new(seed));
            prop_assert!(delay >= asked && delay <= policy.ceiling(attempt).max(asked));
        }

        #[test]
        fn no_store_puts_an_object_off_for_days(seed: u64, attempt in 1u32..100, asked in 0u64..1_000_000) {
            let policy = RetryPolicy { cap: Duration::from_hours(100), ..RetryPolicy::default() };
            let asked = Duration::from_secs(asked);
            let delay = policy.delay(attempt, Some(asked), &SeededEntropy::new(seed));
            prop_assert!(delay >= asked.min(RETRY_DELAY_MAX) && delay <= RETRY_DELAY_MAX);
        }
    }
}
