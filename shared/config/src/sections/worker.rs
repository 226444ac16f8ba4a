//! `[worker]`.

use crate::schema::section;

section! {
    /// How workers work.
    WorkerConfig at "worker" {
        /// How long uploads may take to end when a worker is asked to stop. What is not done by then is handed back, at no cost to its retries.
        grace_secs: u64 = 10,
    }
}
