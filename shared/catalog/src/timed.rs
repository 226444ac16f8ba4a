//! How long the catalog's calls take, by method.
//!
//! Measured where a method's words are, in each implementation, since only there a call is one call: what it waits for a connection, a lock or
//! another attempt is in it. Rejected: a decorator around the whole trait, which would have to say each of its hundred methods a third time.

#[doc(hidden)]
pub use n2s_telemetry::metrics::{Timer, families::CATALOG_SECONDS};

/// Awaits `$call`, and counts how long that took under the method's words. A call that is dropped counts nowhere.
#[macro_export]
macro_rules! timed {
    ($op:literal, $call:expr) => {{
        static TIMER: std::sync::LazyLock<$crate::timed::Timer> =
            std::sync::LazyLock::new(|| $crate::timed::CATALOG_SECONDS.with([$op]));
        let begun = std::time::Instant::now();
        let answer = $call.await;
        TIMER.since(begun);
        answer
    }};
}
