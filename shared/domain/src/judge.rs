//! The only place that decides between stored, tried again and failed, and whose fault it was.
//!
//! Errors of the object count against its budget. Errors of the store do not: they feed the breaker, or pause the
//! store once a health probe has confirmed them. A timeout counts against the object after all when other objects
//! succeeded on that store meanwhile; a denial does when the probe succeeds.

use std::time::Duration;

use crate::backoff::RetryPolicy;
use crate::failure::FailureKind;
use crate::random::Entropy;
use crate::time::Timestamp;

/// What a failed attempt looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What the store, or the reading of the source, answered.
    pub kind: FailureKind,
    /// What the store asked for.
    pub retry_after: Option<Duration>,
    /// Failures this object has been charged with before.
    pub charged: u32,
    /// Faults of this store in a row, over all objects.
    pub store_faults: u32,
    /// Whether other objects succeeded on this store since this attempt began.
    pub others_succeed: bool,
    /// What the last health probe since this attempt began said.
    pub probe: Probe,
}

/// The word of a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// None was made.
    Unknown,
    /// The store overwrote and read back its probe object.
    Healthy,
    /// It did not.
    Unhealthy,
}

/// What becomes of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The store acknowledged the exact bytes.
    Stored,
    /// Pending again, due then. `charged` says whether it cost one of the object's attempts.
    Retry {
        /// Not before this instant.
        due_at: Timestamp,
        /// Whether the object's budget pays.
        charged: bool,
    },
    /// The budget is spent, or trying again cannot help.
    Failed,
}

/// What the outcome says about the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing.
    Nothing,
    /// It did not answer usefully: the breaker counts it.
    Fault,
    /// It asks for less: concurrency goes down.
    Throttle,
    /// It denies, or is not what was configured, and no probe has confirmed that yet: make one.
    ProbeWanted,
    /// A probe confirmed it: pause the store and say what to fix.
    Pause,
}

/// Judges one failed attempt. (A success needs no judging: it is [`Verdict::Stored`].)
pub fn judge(
    attempt: &Attempt,
    policy: &RetryPolicy,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> (Verdict, Signal) {
    use FailureKind as K;
    match (attempt.kind, attempt.probe) {
        (K::Cancelled | K::Lost | K::SourceMissing, _) => (Verdict::Failed, Signal::Nothing),
        (K::Corrupt | K::NotFound, _) => (charge(attempt, policy, now, entropy), Signal::Nothing),
        (K::Throttled, _) => (excuse(attempt, policy, now, entropy), Signal::Throttle),
        (K::Unavailable, _) if attempt.others_succeed => {
            (charge(attempt, policy, now, entropy), Signal::Nothing)
        }
        (K::Unavailable, _) => (excuse(attempt, policy, now, entropy), Signal::Fault),
        (K::Denied | K::Misconfigured, Probe::Healthy) => {
            (charge(attempt, policy, now, entropy), Signal::Nothing)
        }
        (K::Denied | K::Misconfigured, Probe::Unhealthy) => {
            (excuse(attempt, policy, now, entropy), Signal::Pause)
        }
        (K::Denied | K::Misconfigured, Probe::Unknown) => {
            (excuse(attempt, policy, now, entropy), Signal::ProbeWanted)
        }
    }
}

fn charge(attempt: &Attempt, policy: &RetryPolicy, now: Timestamp, entropy: &dyn Entropy) -> Verdict {
    let failures = attempt.charged + 1;
    if failures >= policy.attempts_max {
        return Verdict::Failed;
    }
    Verdict::Retry { due_at: now.after(policy.delay(failures, attempt.retry_after, entropy)), charged: true }
}

fn excuse(attempt: &Attempt, policy: &RetryPolicy, now: Timestamp, entropy: &dyn Entropy) -> Verdict {
    let delay = policy.delay(attempt.store_faults.max(1), attempt.retry_after, entropy);
    Verdict::Retry { due_at: now.after(delay), charged: false }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededEntropy;

    fn attempt(kind: FailureKind) -> Attempt {
        Attempt {
            kind,
            retry_after: None,
            charged: 0,
            store_faults: 0,
            others_succeed: false,
            probe: Probe::Unknown,
        }
    }

    fn verdict(attempt: Attempt) -> (Verdict, Signal) {
        judge(&attempt, &RetryPolicy::default(), Timestamp::from_micros(0), &SeededEntropy::new(1))
    }

    #[test]
    fn an_outage_is_the_store_s_fault_unless_others_succeed() {
        let down = attempt(FailureKind::Unavailable);
        assert!(matches!(verdict(down), (Verdict::Retry { charged: false, .. }, Signal::Fault)));
        let alone = Attempt { others_succeed: true, ..down };
        assert!(matches!(verdict(alone), (Verdict::Retry { charged: true, .. }, Signal::Nothing)));
    }

    #[test]
    fn a_denial_pauses_the_store_only_when_a_probe_confirms_it() {
        let denied = attempt(FailureKind::Denied);
        assert!(matches!(verdict(denied), (Verdict::Retry { charged: false, .. }, Signal::ProbeWanted)));
        let confirmed = Attempt { probe: Probe::Unhealthy, ..denied };
        assert!(matches!(verdict(confirmed), (Verdict::Retry { charged: false, .. }, Signal::Pause)));
        let refuted = Attempt { probe: Probe::Healthy, ..denied };
        assert!(matches!(verdict(refuted), (Verdict::Retry { charged: true, .. }, Signal::Nothing)));
    }

    proptest! {
        #[test]
        fn no_outage_or_denial_ever_fails_an_object(charged in 0u32..1_000, faults in 0u32..1_000, seed: u64) {
            for kind in [FailureKind::Unavailable, FailureKind::Throttled, FailureKind::Denied, FailureKind::Misconfigured] {
                for probe in [Probe::Unknown, Probe::Unhealthy] {
                    let attempt = Attempt { charged, store_faults: faults, probe, ..attempt(kind) };
                    let (verdict, _) = judge(&attempt, &RetryPolicy::default(), Timestamp::from_micros(0), &SeededEntropy::new(seed));
                    let unpaid = matches!(verdict, Verdict::Retry { charged: false, .. });
                    prop_assert!(unpaid);
                }
            }
        }

        #[test]
        fn the_object_s_own_errors_end_after_its_budget(charged in 0u32..20) {
            let (verdict, _) = verdict(Attempt { charged, ..attempt(FailureKind::Corrupt) });
            prop_assert_eq!(verdict == Verdict::Failed, charged + 1 >= RetryPolicy::default().attempts_max);
        }
    }
}
