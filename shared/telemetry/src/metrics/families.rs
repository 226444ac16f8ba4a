//! Every family there is. Whoever needs another adds it here, and `make doc` puts it on the page.

use std::sync::OnceLock;

use n2s_domain::Timestamp;

use super::about::{About, Family};
use super::series::{Counters, Durations, GaugeGuard, Gauges};

/// A constant for each family, and the list of them: there is no other way to make one.
macro_rules! families {
    ($($name:ident: $kind:ident<$count:literal>[$($label:literal),*] $text:literal in $unit:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $name: $kind<$count> =
                $kind::new([$($label),*], About { name: $text, unit: $unit, help: $help });
        )*

        /// In the order of the page.
        pub static ALL: &[&dyn Family] = &[$(&$name),*];
    };
}

families! {
    BUILD_INFO: Gauges<1>["version"] "n2s_build_info" in "info",
        "Always 1; the version that runs.";
    START_TIME: Gauges<0>[] "n2s_process_start_time_seconds" in "seconds",
        "When the process began, in seconds since 1970.";
    STORE_OBJECTS: Counters<3>["backend", "operation", "result"] "n2s_store_objects_total" in "objects",
        "Objects of store operations that ended: result is ok, a kind of failure, or abandoned for a call whose asker went away. The absence of an object that was looked for is ok.";
    STORE_BYTES: Counters<2>["backend", "operation"] "n2s_store_bytes_total" in "bytes",
        "Bytes that a store acknowledged (store) or gave back (retrieve).";
    STORE_SECONDS: Durations<2>["backend", "operation"] "n2s_store_call_duration_seconds" in "seconds",
        "How long calls to a store took; a call may carry many objects. Waiting for one's turn is not in it.";
    STORE_RUNNING: Gauges<2>["backend", "operation"] "n2s_store_calls_running" in "calls",
        "Calls that wait for the store's answer.";
    DEPTH: Gauges<2>["backend", "state"] "n2s_queue_depth" in "jobs",
        "Work of a store by state: pending and failed placements by the catalog's counters, queued and leased jobs as they are. Only from the sweeper.";
    OLDEST: Gauges<2>["backend", "state"] "n2s_queue_oldest_seconds" in "seconds",
        "How long the oldest has been in its state: pending since it was due, queued since it was dispatched, leased since it was claimed, failed since its last attempt. Zero when there is none. Only from the sweeper.";
    ACTIVE: Gauges<1>["backend"] "n2s_queue_active" in "jobs",
        "Queued and leased jobs together: what workers are wanted for, to scale them by. Zero while nothing is dispatched because the store is paused. Only from the sweeper.";
    BACKEND_PAUSED: Gauges<2>["backend", "reason"] "n2s_backend_paused" in "state",
        "1 while nothing is sent to a store: reason is operator, or the kind of failure that a health probe confirmed. Absent otherwise. Only from the sweeper.";
    BACKEND_OPEN: Gauges<1>["backend"] "n2s_backend_breaker_open" in "state",
        "1 while the circuit breaker of a store is open, as the catalog knows it. Only from the sweeper.";
    BACKEND_OPEN_SECONDS: Gauges<1>["backend"] "n2s_backend_unavailable_seconds" in "seconds",
        "For how long the store has been paused or its breaker open; zero when it takes work. Only from the sweeper.";
    BACKEND_BYTES: Gauges<1>["backend"] "n2s_backend_stored_bytes" in "bytes",
        "Sealed bytes of completed placements. Only from the sweeper.";
    BACKEND_COMPLETED: Gauges<1>["backend"] "n2s_backend_placements" in "placements",
        "Completed placements. Only from the sweeper.";
    DAMAGED: Gauges<1>["backend"] "n2s_backend_damaged" in "placements",
        "Copies known to be damaged and not yet replaced. Only from the sweeper.";
    OLDEST_PROOF: Gauges<1>["backend"] "n2s_validation_oldest_proof_seconds" in "seconds",
        "Age of the oldest proof on a store; a copy that was never proven counts from when it was stored. Only from the sweeper.";
    STAGING_BYTES: Gauges<0>[] "n2s_staging_bytes" in "bytes",
        "Sealed bytes in staging, as the catalog knows them. Only from the sweeper.";
    STAGING_MARK: Gauges<0>[] "n2s_staging_high_water_bytes" in "bytes",
        "The mark above which staging keeps only what no store has. Only from the sweeper.";
    LEADER: Gauges<2>["office", "backend"] "n2s_leader" in "state",
        "1 in the process that holds an office: sweeper, folder, or the dispatcher of a store.";
    CENSUS_AT: Gauges<0>[] "n2s_sampled_time_seconds" in "seconds",
        "When the sweeper last sampled the catalog for these gauges, in seconds since 1970.";
    CLAIMED: Counters<1>["backend"] "n2s_jobs_claimed_total" in "jobs",
        "Jobs that workers took.";
    STALE: Counters<1>["backend"] "n2s_jobs_stale_total" in "messages",
        "Messages whose job had moved on; each was acknowledged and did nothing.";
    FINISHED: Counters<2>["backend", "outcome"] "n2s_jobs_finished_total" in "jobs",
        "Jobs that workers let go of: stored, failed, retried (charged to the object), deferred (an outage, charged to nobody), returned (a shutdown or an open breaker).";
    DISCARDED: Counters<0>[] "n2s_jobs_fenced_total" in "jobs",
        "Outcomes that came after the lease was lost, and were discarded.";
    SWEPT: Counters<1>["cause"] "n2s_jobs_swept_total" in "jobs",
        "Jobs that only time brought back: unclaimed (a message was lost), lapsed (a lease), given_up (too many lapses), clock (it was set back).";
    CONCURRENCY: Gauges<1>["backend"] "n2s_worker_concurrency_limit" in "objects",
        "Objects that a worker allows itself at once on a store, as it found out.";
    IN_FLIGHT: Gauges<1>["backend"] "n2s_worker_in_flight" in "objects",
        "Objects that a worker holds for a store.";
    WORKER_OPEN: Gauges<1>["backend"] "n2s_worker_breaker_open" in "state",
        "1 while a worker's circuit breaker for a store is open.";
    WORKER_PAUSED: Gauges<1>["backend"] "n2s_worker_paused" in "state",
        "1 while a worker leaves a paused store alone.";
    CONSUMING: Gauges<1>["backend"] "n2s_worker_consuming" in "state",
        "1 while a worker hears a store's queue.";
    LEASES: Gauges<0>[] "n2s_worker_leases" in "jobs",
        "Leases that a worker keeps alive, counted at each heartbeat.";
    PUBLISHED: Counters<2>["backend", "result"] "n2s_messages_published_total" in "messages",
        "Messages to the queue: confirmed, refused (it is full), or unconfirmed (returned, no answer in time, or no connection). All but the first put their jobs back.";
    RETURNED: Counters<1>["backend"] "n2s_messages_returned_total" in "messages",
        "Messages that the broker sent back because the queue was gone; it is declared anew.";
    BROKER_CONNECTIONS: Counters<1>["role"] "n2s_broker_connections_total" in "connections",
        "Connections made to the broker: one for each role and store is normal, more are reconnects.";
    POISONED: Counters<0>[] "n2s_messages_poisoned_total" in "messages",
        "Messages that the broker gave up on; their jobs are due again.";
    CATALOG_SECONDS: Durations<1>["call"] "n2s_catalog_call_duration_seconds" in "seconds",
        "How long calls to the catalog took, by what they were to do, in the words of its errors. Waiting for a connection, for locks and for another attempt is in it.";
    CATALOG_CONNECTIONS: Gauges<2>["pool", "state"] "n2s_catalog_connections" in "connections",
        "Connections of this process to the catalog's server: in_use or idle; pool is engine for what dispatches, folds and sweeps, main for everything else. Of PostgreSQL only.";
    CATALOG_CONNECTIONS_MAX: Gauges<1>["pool"] "n2s_catalog_connections_max" in "connections",
        "As many as it may have there: pool_size. Of PostgreSQL only.";
    CATALOG_WAITING: Gauges<1>["pool"] "n2s_catalog_calls_waiting" in "calls",
        "Calls that wait for a connection. Of PostgreSQL only.";
    CATALOG_UNANSWERED: Counters<0>[] "n2s_catalog_calls_unanswered_total" in "calls",
        "Calls that were given up because the catalog's server did not answer in time, and their connections with them.";
    SETTLED: Counters<1>["status"] "n2s_changesets_settled_total" in "changesets",
        "Changesets that came to an end: completed, degraded or failed.";
    VALIDATED: Counters<2>["backend", "result"] "n2s_validation_checked_total" in "copies",
        "Copies that the validator looked at: intact, damaged, or unchecked (no answer).";
    VALIDATED_BYTES: Counters<1>["backend"] "n2s_validation_read_bytes_total" in "bytes",
        "Bytes that the validator read back and found right.";
    HTTP_REQUESTS: Counters<3>["route", "method", "status"] "n2s_http_requests_total" in "requests",
        "Requests by route pattern, method and class of status (2xx, 4xx, …).";
    HTTP_SECONDS: Durations<2>["route", "method"] "n2s_http_request_duration_seconds" in "seconds",
        "From a request's head to the head of its answer.";
    SPANS_DROPPED: Counters<0>[] "n2s_trace_spans_dropped_total" in "spans",
        "Spans that were not sent: the collector was too slow, or refused them.";
}

/// Says which program this is and since when it runs. Once per process.
pub fn started(at: Timestamp, version: &str) {
    static HELD: OnceLock<(GaugeGuard<1>, GaugeGuard<0>)> = OnceLock::new();
    let (build, start) = HELD.get_or_init(|| (BUILD_INFO.hold([version]), START_TIME.hold([])));
    build.set(1.0);
    start.set(seconds(at));
}

/// Since 1970, for gauges.
#[expect(clippy::cast_precision_loss, reason = "a double holds the microseconds of 285 years")]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::about::Kind;
    use super::*;

    #[test]
    fn names_are_unique_and_tell_kind_and_unit() {
        let mut seen = BTreeSet::new();
        for family in ALL {
            let about = family.about();
            assert!(about.name.starts_with("n2s_") && seen.insert(about.name), "{}", about.name);
            assert_eq!(family.kind() == Kind::Counter, about.name.ends_with("_total"), "{}", about.name);
            if ["bytes", "seconds"].contains(&about.unit) {
                assert!(about.name.contains(about.unit), "{} does not name its unit", about.name);
            }
            assert!(about.help.ends_with('.') && !about.help.contains(['\n', '\\', '|']), "{}", about.name);
        }
    }
}
