//! The circuit breaker of one store: after some faults in a row it stops asking, then lets health probes, not blobs,
//! find out whether the store is back.

use std::time::Duration;

use crate::random::Entropy;
use crate::time::Timestamp;

/// Faults in a row that open the circuit.
pub const FAULTS_TO_OPEN: u32 = 5;
/// The first pause; it doubles with each failed probe.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between probes.
pub const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Whether work may go to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Circuit {
    /// It may.
    Closed,
    /// It may not; at this instant a probe is due.
    Open {
        /// When to probe.
        probe_at: Timestamp,
    },
}

/// The breaker's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Breaker {
    /// Faults since the last success.
    pub faults: u32,
    /// Probes that failed since the circuit opened.
    pub failed_probes: u32,
    /// Where it stands.
    pub circuit: Circuit,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { faults: 0, failed_probes: 0, circuit: Circuit::Closed }
    }
}

impl Breaker {
    /// After an object was stored. A success that began before the circuit opened does not close it: only a probe does.
    #[must_use]
    pub fn succeeded(self) -> Self {
        match self.circuit {
            Circuit::Closed => Self::default(),
            Circuit::Open { .. } => self,
        }
    }

    /// After a fault of the store.
    #[must_use]
    pub fn faulted(self, now: Timestamp, entropy: &dyn Entropy) -> Self {
        let faults = self.faults.saturating_add(1);
        match self.circuit {
            Circuit::Closed if faults >= FAULTS_TO_OPEN => Self {
                faults,
                failed_probes: 0,
                circuit: Circuit::Open { probe_at: now.after(pause(0, entropy)) },
            },
            _ => Self { faults, ..self },
        }
    }

    /// After a health probe.
    #[must_use]
    pub fn probed(self, healthy: bool, now: Timestamp, entropy: &dyn Entropy) -> Self {
        match (healthy, self.circuit) {
            (true, _) => Self::default(),
            (false, Circuit::Closed) => self.faulted(now, entropy),
            (false, Circuit::Open { .. }) => {
                let failed_probes = self.failed_probes.saturating_add(1);
                let probe_at = now.after(pause(failed_probes, entropy));
                Self { failed_probes, circuit: Circuit::Open { probe_at }, ..self }
            }
        }
    }

    /// Whether blobs may be sent.
    pub fn admits(&self) -> bool {
        self.circuit == Circuit::Closed
    }

    /// Whether it is time for a probe. So it is when the probe lies further ahead than any pause is long: the clock was set back.
    pub fn wants_probe(&self, now: Timestamp) -> bool {
        matches!(self.circuit, Circuit::Open { probe_at } if probe_at <= now || probe_at > now.after(PAUSE_MAX))
    }
}

/// Half the doubled pause for certain, the other half by chance, so that many workers do not probe at once.
fn pause(failed_probes: u32, entropy: &dyn Entropy) -> Duration {
    let ceiling = PAUSE_MIN.saturating_mul(1 << failed_probes.min(16)).min(PAUSE_MAX);
    let half = u64::try_from(ceiling.as_micros() / 2).expect("PAUSE_MAX is a minute");
    Duration::from_micros(half + entropy.next_u64() % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededEntropy;

    #[test]
    fn opens_after_faults_in_a_row_and_closes_only_by_a_probe() {
        let (entropy, now) = (SeededEntropy::new(7), Timestamp::from_micros(0));
        let mut breaker = Breaker::default();
        for _ in 0..FAULTS_TO_OPEN - 1 {
            breaker = breaker.faulted(now, &entropy);
        }
        assert!(breaker.admits() && breaker.succeeded().faults == 0);
        breaker = breaker.faulted(now, &entropy);
        assert!(!breaker.admits() && !breaker.succeeded().admits());
        assert!(!breaker.wants_probe(now) && breaker.wants_probe(now.after(PAUSE_MIN)));
        assert!(
            breaker.wants_probe(now.before(Duration::from_hours(24))),
            "a clock set back puts the probe off"
        );
        assert!(breaker.probed(true, now, &entropy).admits());
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let (entropy, mut now) = (SeededEntropy::new(7), Timestamp::from_micros(0));
        let mut breaker = (0..FAULTS_TO_OPEN).fold(Breaker::default(), |b, _| b.faulted(now, &entropy));
        for _ in 0..12 {
            let Circuit::Open { probe_at } = breaker.circuit else { panic!("it closed by itself") };
            assert!(probe_at.since(now) <= PAUSE_MAX);
            now = probe_at;
            breaker = breaker.probed(false, now, &entropy);
        }
        let Circuit::Open { probe_at } = breaker.circuit else { panic!("it closed by itself") };
        assert!(probe_at.since(now) >= PAUSE_MAX / 2);
    }
}
