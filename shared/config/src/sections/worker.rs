//! `[worker]`.

use crate::schema::section;

section! {
    /// How workers work.
    WorkerConfig at "worker" {
        /// How long uploads may take to end when a worker is asked to stop. What is not done by then is handed back, at no cost to its retries.
        grace_secs: u64 = 10,
        /// How long a job stays a worker's that has not been heard of: what a killed one had in hand waits so long. A worker
        /// is heard of three times as often, so one whose catalog is away for longer does its work twice.
        lease_secs: u64 = 60,
    }
}
