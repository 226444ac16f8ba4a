//! Every family there is. Whoever needs another adds it here, and `make doc` puts it on the page.

use super::about::{About, Family};
use super::series::{Counters, Durations, GaugeGuard, Gauges};
use n2s_domain::Timestamp;
use std::sync::OnceLock;

/// Always 1; the version that runs.
pub static BUILD_INFO: Gauges<1> = Gauges::new(
    ["version"],
    About { name: "n2s_build_info", unit: "info", help: "Always 1; the version that runs." },
);
/// When the process began, in seconds since 1970.
pub static START_TIME: Gauges<0> = Gauges::new(
    [],
    About {
        name: "n2s_process_start_time_seconds",
        unit: "seconds",
        help: "When the process began, in seconds since 1970.",
    },
);
/// Objects of store operations that ended: result is ok, a kind of failure, or abandoned for a call whose asker went away. The absence of an object that was looked for is ok.
pub static STORE_OBJECTS: Counters<3> = Counters::new(
    ["backend", "operation", "result"],
    About {
        name: "n2s_store_objects_total",
        unit: "objects",
        help: "Objects of store operations that ended: result is ok, a kind of failure, or abandoned for a call whose asker went away. The absence of an object that was looked for is ok.",
    },
);
/// Bytes that a store acknowledged (store) or gave back (retrieve).
pub static STORE_BYTES: Counters<2> = Counters::new(
    ["backend", "operation"],
    About {
        name: "n2s_store_bytes_total",
        unit: "bytes",
        help: "Bytes that a store acknowledged (store) or gave back (retrieve).",
    },
);
/// How long calls to a store took; a call may carry many objects. Waiting for one's turn is not in it.
pub static STORE_SECONDS: Durations<2> = Durations::new(
    ["backend", "operation"],
    About {
        name: "n2s_store_call_duration_seconds",
        unit: "seconds",
        help: "How long calls to a store took; a call may carry many objects. Waiting for one's turn is not in it.",
    },
);
/// Calls that wait for the store's answer.
pub static STORE_RUNNING: Gauges<2> = Gauges::new(
    ["backend", "operation"],
    About { name: "n2s_store_calls_running", unit: "calls", help: "Calls that wait for the store's answer." },
);
/// Work of a store by state: pending and failed placements by the catalog's counters, queued and leased jobs as they are. Only from the sweeper.
pub static DEPTH: Gauges<2> = Gauges::new(
    ["backend", "state"],
    About {
        name: "n2s_queue_depth",
        unit: "jobs",
        help: "Work of a store by state: pending and failed placements by the catalog's counters, queued and leased jobs as they are. Only from the sweeper.",
    },
);
/// How long the oldest has been in its state: pending since it was due, queued since it was dispatched, leased since it was claimed, failed since its last attempt. Zero when there is none. Only from the sweeper.
pub static OLDEST: Gauges<2> = Gauges::new(
    ["backend", "state"],
    About {
        name: "n2s_queue_oldest_seconds",
        unit: "seconds",
        help: "How long the oldest has been in its state: pending since it was due, queued since it was dispatched, leased since it was claimed, failed since its last attempt. Zero when there is none. Only from the sweeper.",
    },
);
/// Queued and leased jobs together: what workers are wanted for, to scale them by. Zero while nothing is dispatched because the store is paused. Only from the sweeper.
pub static ACTIVE: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_queue_active",
        unit: "jobs",
        help: "Queued and leased jobs together: what workers are wanted for, to scale them by. Zero while nothing is dispatched because the store is paused. Only from the sweeper.",
    },
);
/// 1 while nothing is sent to a store: reason is operator, or the kind of failure that a health probe confirmed. Absent otherwise. Only from the sweeper.
pub static BACKEND_PAUSED: Gauges<2> = Gauges::new(
    ["backend", "reason"],
    About {
        name: "n2s_backend_paused",
        unit: "state",
        help: "1 while nothing is sent to a store: reason is operator, or the kind of failure that a health probe confirmed. Absent otherwise. Only from the sweeper.",
    },
);
/// 1 while the circuit breaker of a store is open, as the catalog knows it. Only from the sweeper.
pub static BACKEND_OPEN: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_backend_breaker_open",
        unit: "state",
        help: "1 while the circuit breaker of a store is open, as the catalog knows it. Only from the sweeper.",
    },
);
/// For how long the store has been paused or its breaker open; zero when it takes work. Only from the sweeper.
pub static BACKEND_OPEN_SECONDS: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_backend_unavailable_seconds",
        unit: "seconds",
        help: "For how long the store has been paused or its breaker open; zero when it takes work. Only from the sweeper.",
    },
);
/// Sealed bytes of completed placements. Only from the sweeper.
pub static BACKEND_BYTES: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_backend_stored_bytes",
        unit: "bytes",
        help: "Sealed bytes of completed placements. Only from the sweeper.",
    },
);
/// Completed placements. Only from the sweeper.
pub static BACKEND_COMPLETED: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_backend_placements",
        unit: "placements",
        help: "Completed placements. Only from the sweeper.",
    },
);
/// Copies known to be damaged and not yet replaced. Only from the sweeper.
pub static DAMAGED: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_backend_damaged",
        unit: "placements",
        help: "Copies known to be damaged and not yet replaced. Only from the sweeper.",
    },
);
/// Age of the oldest proof on a store; a copy that was never proven counts from when it was stored. Only from the sweeper.
pub static OLDEST_PROOF: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_validation_oldest_proof_seconds",
        unit: "seconds",
        help: "Age of the oldest proof on a store; a copy that was never proven counts from when it was stored. Only from the sweeper.",
    },
);
/// Sealed bytes in staging, as the catalog knows them. Only from the sweeper.
pub static STAGING_BYTES: Gauges<0> = Gauges::new(
    [],
    About {
        name: "n2s_staging_bytes",
        unit: "bytes",
        help: "Sealed bytes in staging, as the catalog knows them. Only from the sweeper.",
    },
);
/// The mark above which staging keeps only what no store has. Only from the sweeper.
pub static STAGING_MARK: Gauges<0> = Gauges::new(
    [],
    About {
        name: "n2s_staging_high_water_bytes",
        unit: "bytes",
        help: "The mark above which staging keeps only what no store has. Only from the sweeper.",
    },
);
/// 1 in the process that holds an office: sweeper, folder, or the dispatcher of a store.
pub static LEADER: Gauges<2> = Gauges::new(
    ["office", "backend"],
    About {
        name: "n2s_leader",
        unit: "state",
        help: "1 in the process that holds an office: sweeper, folder, or the dispatcher of a store.",
    },
);
/// When the sweeper last sampled the catalog for these gauges, in seconds since 1970.
pub static CENSUS_AT: Gauges<0> = Gauges::new(
    [],
    About {
        name: "n2s_sampled_time_seconds",
        unit: "seconds",
        help: "When the sweeper last sampled the catalog for these gauges, in seconds since 1970.",
    },
);
/// Jobs that workers took.
pub static CLAIMED: Counters<1> = Counters::new(
    ["backend"],
    About { name: "n2s_jobs_claimed_total", unit: "jobs", help: "Jobs that workers took." },
);
/// Messages whose job had moved on; each was acknowledged and did nothing.
pub static STALE: Counters<1> = Counters::new(
    ["backend"],
    About {
        name: "n2s_jobs_stale_total",
        unit: "messages",
        help: "Messages whose job had moved on; each was acknowledged and did nothing.",
    },
);
/// Jobs that workers let go of: stored, failed, retried (charged to the object), deferred (an outage, charged to nobody), returned (a shutdown or an open breaker).
pub static FINISHED: Counters<2> = Counters::new(
    ["backend", "outcome"],
    About {
        name: "n2s_jobs_finished_total",
        unit: "jobs",
        help: "Jobs that workers let go of: stored, failed, retried (charged to the object), deferred (an outage, charged to nobody), returned (a shutdown or an open breaker).",
    },
);
/// Outcomes that came after the lease was lost, and were discarded.
pub static DISCARDED: Counters<0> = Counters::new(
    [],
    About {
        name: "n2s_jobs_fenced_total",
        unit: "jobs",
        help: "Outcomes that came after the lease was lost, and were discarded.",
    },
);
/// Jobs that only time brought back: unclaimed (a message was lost), lapsed (a lease), given_up (too many lapses), clock (it was set back).
pub static SWEPT: Counters<1> = Counters::new(
    ["cause"],
    About {
        name: "n2s_jobs_swept_total",
        unit: "jobs",
        help: "Jobs that only time brought back: unclaimed (a message was lost), lapsed (a lease), given_up (too many lapses), clock (it was set back).",
    },
);
/// Objects that a worker allows itself at once on a store, as it found out.
pub static CONCURRENCY: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_worker_concurrency_limit",
        unit: "objects",
        help: "Objects that a worker allows itself at once on a store, as it found out.",
    },
);
/// Objects that a worker holds for a store.
pub static IN_FLIGHT: Gauges<1> = Gauges::new(
    ["backend"],
    About { name: "n2s_worker_in_flight", unit: "objects", help: "Objects that a worker holds for a store." },
);
/// 1 while a worker's circuit breaker for a store is open.
pub static WORKER_OPEN: Gauges<1> = Gauges::new(
    ["backend"],
    About {
        name: "n2s_worker_breaker_open",
        unit: "state",
        help: "1 while a worker's circuit breaker for a store is open.",
    },
);
/// 1 while a worker leaves a paused store alone.
pub static WORKER_PAUSED: Gauges<1> = Gauges::new(
    ["backend"],
    About { name: "n2s_worker_paused", unit: "state", help: "1 while a worker leaves a paused store alone." },
);
/// 1 while a worker hears a store's queue.
pub static CONSUMING: Gauges<1> = Gauges::new(
    ["backend"],
    About { name: "n2s_worker_consuming", unit: "state", help: "1 while a worker hears a store's queue." },
);
/// Leases that a worker keeps alive, counted at each heartbeat.
pub static LEASES: Gauges<0> = Gauges::new(
    [],
    About {
        name: "n2s_worker_leases",
        unit: "jobs",
        help: "Leases that a worker keeps alive, counted at each heartbeat.",
    },
);
/// Messages to the queue: confirmed, refused (it is full), or unconfirmed (returned, no answer in time, or no connection). All but the first put their jobs back.
pub static PUBLISHED: Counters<2> = Counters::new(
    ["backend", "result"],
    About {
        name: "n2s_messages_published_total",
        unit: "messages",
        help: "Messages to the queue: confirmed, refused (it is full), or unconfirmed (returned, no answer in time, or no connection). All but the first put their jobs back.",
    },
);
/// Messages that the broker sent back because the queue was gone; it is declared anew.
pub static RETURNED: Counters<1> = Counters::new(
    ["backend"],
    About {
        name: "n2s_messages_returned_total",
        unit: "messages",
        help: "Messages that the broker sent back because the queue was gone; it is declared anew.",
    },
);
/// Connections made to the broker: one for each role and store is normal, more are reconnects.
pub static BROKER_CONNECTIONS: Counters<1> = Counters::new(
    ["role"],
    About {
        name: "n2s_broker_connections_total",
        unit: "connections",
        help: "Connections made to the broker: one for each role and store is normal, more are reconnects.",
    },
);
/// Messages that the broker gave up on; their jobs are due again.
pub static POISONED: Counters<0> = Counters::new(
    [],
    About {
        name: "n2s_messages_poisoned_total",
        unit: "messages",
        help: "Messages that the broker gave up on; their jobs are due again.",
    },
);
/// Changesets that came to an end: completed, degraded or failed.
pub static SETTLED: Counters<1> = Counters::new(
    ["status"],
    About {
        name: "n2s_changesets_settled_total",
        unit: "changesets",
        help: "Changesets that came to an end: completed, degraded or failed.",
    },
);
/// Copies that the validator looked at: intact, damaged, or unchecked (no answer).
pub static VALIDATED: Counters<2> = Counters::new(
    ["backend", "result"],
    About {
        name: "n2s_validation_checked_total",
        unit: "copies",
        help: "Copies that the validator looked at: intact, damaged, or unchecked (no answer).",
    },
);
/// Bytes that the validator read back and found right.
pub static VALIDATED_BYTES: Counters<1> = Counters::new(
    ["backend"],
    About {
        name: "n2s_validation_read_bytes_total",
        unit: "bytes",
        help: "Bytes that the validator read back and found right.",
    },
);
/// Requests by route pattern, method and class of status (2xx, 4xx, …).
pub static HTTP_REQUESTS: Counters<3> = Counters::new(
    ["route", "method", "status"],
    About {
        name: "n2s_http_requests_total",
        unit: "requests",
        help: "Requests by route pattern, method and class of status (2xx, 4xx, …).",
    },
);
/// From a request's head to the head of its answer.
pub static HTTP_SECONDS: Durations<2> = Durations::new(
    ["route", "method"],
    About {
        name: "n2s_http_request_duration_seconds",
        unit: "seconds",
        help: "From a request's head to the head of its answer.",
    },
);
/// Spans that were not sent: the collector was too slow, or refused them.
pub static SPANS_DROPPED: Counters<0> = Counters::new(
    [],
    About {
        name: "n2s_trace_spans_dropped_total",
        unit: "spans",
        help: "Spans that were not sent: the collector was too slow, or refused them.",
    },
);

/// In the order of the page.
pub static ALL: [&dyn Family; 41] = [
    &BUILD_INFO,
    &START_TIME,
    &STORE_OBJECTS,
    &STORE_BYTES,
    &STORE_SECONDS,
    &STORE_RUNNING,
    &DEPTH,
    &OLDEST,
    &ACTIVE,
    &BACKEND_PAUSED,
    &BACKEND_OPEN,
    &BACKEND_OPEN_SECONDS,
    &BACKEND_BYTES,
    &BACKEND_COMPLETED,
    &DAMAGED,
    &OLDEST_PROOF,
    &STAGING_BYTES,
    &STAGING_MARK,
    &LEADER,
    &CENSUS_AT,
    &CLAIMED,
    &STALE,
    &FINISHED,
    &DISCARDED,
    &SWEPT,
    &CONCURRENCY,
    &IN_FLIGHT,
    &WORKER_OPEN,
    &WORKER_PAUSED,
    &CONSUMING,
    &LEASES,
    &PUBLISHED,
    &RETURNED,
    &BROKER_CONNECTIONS,
    &POISONED,
    &SETTLED,
    &VALIDATED,
    &VALIDATED_BYTES,
    &HTTP_REQUESTS,
    &HTTP_SECONDS,
    &SPANS_DROPPED,
];

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
