//! The limit at which a store pushed back, remembered until it is time to try it again.

use std::time::Duration;

use super::why::Push;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ceiling {
    pub at: u32,
    retry_at: Duration,
    patience: Duration,
}

/// Until a ceiling is tried for the first time, and at most: a trial costs a few refusals, a store that has grown unnoticed costs more.
const PATIENCE: Duration = Duration::from_millis(500);
const PATIENCE_MAX: Duration = Duration::from_secs(3);
/// Closer to the ceiling than one in so many is close enough.
const CLOSE: u32 = 20;

impl Ceiling {
    /// The store pushed back at a limit. Each time that this was a trial of the former ceiling, the next comes later.
    pub(super) fn met(former: Option<Self>, (at, push): (u32, Push), now: Duration) -> Self {
        let again = former.filter(|former| former.is_due(now) && at >= former.at);
        let patience = again.map_or(PATIENCE, |former| (former.patience * 2).min(PATIENCE_MAX));
        Self { at, retry_at: now + patience.max(push.retry_after()), patience }
    }

    /// Whether it is time to try it.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.retry_at
    }

    /// The highest limit to go to from `limit`.
    pub(super) fn below(&self, limit: u32, now: Duration) -> u32 {
        if self.is_due(now) {
            return self.at;
        }
        let gap = self.at.saturating_sub(limit);
        if gap <= (self.at / CLOSE).max(1) { limit } else { limit + gap / 2 }
    }
}
