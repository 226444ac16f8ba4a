//! Less than one at a time: how long a store that refuses everything is left alone.
//!
//! The limit cannot go below one, and a refusal takes a moment only, so that one at a time may still be hundreds in a second: each a claim,
//! an outcome and a new turn for the catalog, which all stores share. So once everything was refused for a second, and often, a pause follows
//! each further refusal: a quarter of the time for which nothing was taken, ten seconds at most, or what the store asked for, a minute at most.
//! What the store takes ends it.
//!
//! Rejected: to open the breaker. A store that throttles answers its probe, which would close it at once.

use std::time::Duration;

use super::why::Push;

/// How long refusals alone are no reason.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many refusals in a row cost nobody anything.
const FEW: u32 = 64;
/// The longest pause that the store did not ask for: it should not stand idle for long when it is back.
const UNASKED_MAX: Duration = Duration::from_secs(10);
/// The longest pause.
const REST_MAX: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rest {
    /// When the first was refused since the store took something.
    since: Option<Duration>,
    refused: u32,
    until: Duration,
}

impl Rest {
    /// The store took something.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// The store refused something.
    pub(super) fn refused(&mut self, push: Push, now: Duration) {
        if !matches!(push, Push::Throttled { .. }) {
            return;
        }
        let lasts = now.saturating_sub(*self.since.get_or_insert(now));
        self.refused = self.refused.saturating_add(1);
        if lasts >= PATIENCE && self.refused > FEW {
            let rest = (lasts / 4).min(UNASKED_MAX).max(push.retry_after()).min(REST_MAX);
            self.until = self.until.max(now + rest);
        }
    }

    /// How long nothing should begin yet.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        let left = self.until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Push = Push::Throttled { retry_after: None };
    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn a_store_that_refuses_everything_is_asked_ever_more_rarely() {
        let (mut rest, mut now, mut asked) = (Rest::default(), Duration::ZERO, 0);
        while now < SEC * 3_600 {
            rest.refused(NO, now);
            asked += 1;
            now += rest.left(now).unwrap_or(Duration::ZERO) + Duration::from_millis(5);
        }
        assert!((520..620).contains(&asked), "{asked}");
        assert_eq!(rest.left(now.saturating_sub(Duration::from_millis(1_005))), Some(SEC));
        rest.over();
        rest.refused(NO, now);
        assert_eq!(rest.left(now), None, "the first refusal after it took something");
    }

    #[test]
    fn it_gets_the_pause_that_it_asks_for_and_no_more_than_a_minute() {
        let mut rest = Rest::default();
        let wait = |secs| Push::Throttled { retry_after: Some(SEC * secs) };
        (0..=FEW).for_each(|_| rest.refused(wait(30), SEC));
        assert_eq!(rest.left(SEC), None, "others may still be taken");
        rest.refused(wait(30), SEC * 2);
        assert_eq!(rest.left(SEC * 2), Some(SEC * 30));
        rest.refused(wait(3_600), SEC * 3);
        assert_eq!(rest.left(SEC * 3), Some(REST_MAX));
    }

    #[test]
    fn failures_are_the_breakers() {
        let mut rest = Rest::default();
        (0..100).for_each(|n| rest.refused(Push::Failed, SEC * n));
        assert_eq!(rest.left(SEC * 100), None);
    }
}
