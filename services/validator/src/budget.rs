//! Bytes a second, paid for by waiting.
//!
//! The sizes are known before anything is read, so they are paid beforehand: a killed run has read no more than its budget
//! allowed, and one object. Rejected: `n2s_storage::Limited`, which learns only afterwards what a reading cost.

use std::time::Duration;

use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_per_sec: Option<u64>,
    paid_at: Option<Instant>,
}

impl Budget {
    /// Without a bound for `None`; zero counts as one.
    pub(crate) fn new(bytes_per_sec: Option<u64>) -> Self {
        Self { bytes_per_sec: bytes_per_sec.map(|bytes| bytes.max(1)), paid_at: None }
    }

    /// How many bytes to take at once at most: about a second's worth, so that the budget is not spent in bursts.
    pub(crate) fn portion(&self) -> u64 {
        self.bytes_per_sec.unwrap_or(u64::MAX)
    }

    /// Waits until everything taken before is paid for, and takes `bytes`.
    pub(crate) async fn take(&mut self, bytes: u64) {
        let at = self.owe(bytes, Instant::now());
        tokio::time::sleep_until(at).await;
    }

    /// Puts `bytes` on the account; says when what was there before is paid for.
    fn owe(&mut self, bytes: u64, now: Instant) -> Instant {
        let Some(rate) = self.bytes_per_sec else { return now };
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate);
        let cost = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let free_at = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        self.paid_at = Some(free_at.checked_add(cost).unwrap_or(free_at));
        free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_has_been_waited_for() {
        let (mut budget, start) = (Budget::new(Some(1_000)), Instant::now());
        let (mut now, mut taken) = (start, 0u64);
        for bytes in [10, 5_000, 1, 1, 999, 123_456, 7, 2_500] {
            now = now.max(budget.owe(bytes, now));
            let waited = u64::try_from((now - start).as_millis()).unwrap();
            assert!(taken <= waited, "{taken} bytes were read in {waited} ms at 1000 bytes a second");
            taken += bytes;
        }
        assert_eq!(budget.portion(), 1_000);
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let (mut budget, start) = (Budget::new(Some(1_000)), Instant::now());
        budget.owe(1_000, start);
        let later = start + Duration::from_hours(1);
        assert_eq!(budget.owe(5_000, later), later);
        assert_eq!(budget.owe(1, later), later + Duration::from_secs(5));
    }

    #[test]
    fn without_a_bound_nothing_waits() {
        let (mut budget, now) = (Budget::new(None), Instant::now());
        assert_eq!((budget.owe(u64::MAX, now), budget.owe(u64::MAX, now)), (now, now));
    }
}
