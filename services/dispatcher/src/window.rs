//! How many jobs of a store may be in its queue or with workers: a few seconds of what was measured.
//!
//! Enough that workers never run dry between two looks, little enough that the order stays with the catalog, where a
//! small push overtakes a large one. Rejected: a fixed number, which is either minutes of work for a slow store or
//! milliseconds for a fast one.

use std::time::Duration;

/// Bounds and horizon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub floor: u32,
    pub ceiling: u32,
    pub horizon: Duration,
}

/// What is known of a store's pace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    in_flight: u64,
    per_sec: f64,
}

impl Window {
    /// Learns from a look: `in_flight` jobs are queued or leased now, `elapsed` after the last look.
    pub(crate) fn looked(&mut self, in_flight: u64, elapsed: Duration) {
        let done = self.in_flight.saturating_sub(in_flight);
        self.in_flight = in_flight;
        let secs = elapsed.as_secs_f64();
        // A tenth of a second is too short to measure in; several seconds count fully.
        if secs > 0.0 {
            let weight = (secs / 2.0).min(1.0);
            #[expect(clippy::cast_precision_loss, reason = "a pace needs no more than 52 bits")]
            let pace = done as f64 / secs;
            self.per_sec += (pace - self.per_sec) * weight;
        }
    }

    /// Notes jobs that were just dispatched.
    pub(crate) fn dispatched(&mut self, jobs: u64) {
        self.in_flight += jobs;
    }

    /// Whether nothing is under way, as far as is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight == 0
    }

    /// How many more may go.
    pub(crate) fn room(&self, bounds: &Bounds) -> u32 {
        let wanted = self.per_sec * bounds.horizon.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped between two u32 right here"
        )]
        let size = wanted.clamp(f64::from(bounds.floor), f64::from(bounds.ceiling)) as u32;
        size.saturating_sub(u32::try_from(self.in_flight).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_floor_then_seconds_of_work_then_the_ceiling() {
        let bounds = Bounds { floor: 512, ceiling: 20_000, horizon: Duration::from_secs(8) };
        let mut window = Window::default();
        assert_eq!(window.room(&bounds), 512);
        window.dispatched(512);
        assert_eq!(window.room(&bounds), 0);
        for _ in 0..20 {
            window.looked(0, Duration::from_secs(1));
            window.dispatched(1_000);
        }
        window.looked(0, Duration::from_secs(1));
        assert!((7_500..=8_000).contains(&window.room(&bounds)), "{}", window.room(&bounds));
        window.dispatched(900_000);
        window.looked(0, Duration::from_secs(1));
        assert_eq!(window.room(&bounds), 20_000);
    }
}
