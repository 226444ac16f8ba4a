//! How many jobs a lane claims beyond those that may be under way, so that a place that gets free is taken at once.
//!
//! A claim is a transaction, and what gets free meanwhile waits for the next one. Claimed one for one, a store that takes 24 objects at once
//! for 50 ms each would have 17 of them beside a catalog that takes 10 ms to claim. So as many are claimed ahead as end during two
//! claims: two, because a place may become free just when a claim has begun. Where an object takes long, that is none, and no
//! job waits here while another worker is idle.
//!
//! Rejected: a fixed number or share, which is too few for a store that answers at once, and hoards where objects take seconds.

use std::time::Duration;

use n2s_domain::limits::CLAIM_BATCH_MAX;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    claim: Mean,
    work: Mean,
    objects: u32,
}

/// Seconds, of which the latest count most.
#[derive(Clone, Copy, Debug, Default)]
struct Mean(Option<f64>);

/// How much the latest counts.
const WEIGHT: f64 = 0.1;
/// Claims during which as many end as are claimed ahead.
const CLAIMS: f64 = 2.0;

impl Ahead {
    /// A claim took so long, while so many could be under way.
    pub(crate) fn claimed(&mut self, took: Duration, limit: u32) {
        self.claim.add(took);
        let (Some(claim), Some(work)) = (self.claim.0, self.work.0) else { return };
        let wanted = f64::from(limit) * CLAIMS * claim / work.max(f64::MIN_POSITIVE);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; clamped by the cast"
        )]
        let wanted = (wanted.round() as u32).min(CLAIM_BATCH_MAX as u32);
        // A little less is no news: whoever hears of it makes a new consumer.
        if wanted > self.objects || wanted < self.objects / 2 {
            self.objects = wanted;
        }
    }

    /// What was under way took so long.
    pub(crate) fn worked(&mut self, took: Duration) {
        self.work.add(took);
    }

    /// How many objects to hold beyond the limit.
    pub(crate) const fn objects(&self) -> u32 {
        self.objects
    }
}

impl Mean {
    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.0 = Some(self.0.map_or(took, |mean| mean + (took - mean) * WEIGHT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(claim: Duration, work: Duration, limit: u32) -> u32 {
        let mut ahead = Ahead::default();
        for _ in 0..100 {
            ahead.worked(work);
            ahead.claimed(claim, limit);
        }
        ahead.objects()
    }

    #[test]
    fn as_many_are_claimed_ahead_as_end_during_two_claims() {
        assert_eq!(after(MS * 5, MS * 50, 24), 5);
        assert_eq!(after(MS * 5, MS * 50, 128), 26);
        assert_eq!(after(MS * 5, Duration::from_secs(2), 24), 0, "nothing is hoarded");
        assert_eq!(after(MS * 5, MS / 50, 4) as usize, 2_000.min(CLAIM_BATCH_MAX));
        assert_eq!(after(MS * 5, Duration::ZERO, 4) as usize, CLAIM_BATCH_MAX, "bounded");
        assert_eq!(Ahead::default().objects(), 0, "nothing is known");
    }

    #[test]
    fn a_little_less_is_no_news() {
        let mut ahead = Ahead::default();
        ahead.worked(MS * 50);
        ahead.claimed(MS * 25, 20);
        assert_eq!(ahead.objects(), 20);
        ahead.claimed(MS * 25, 12);
        assert_eq!(ahead.objects(), 20);
        ahead.claimed(MS * 25, 8);
        assert_eq!(ahead.objects(), 8);
    }
}
