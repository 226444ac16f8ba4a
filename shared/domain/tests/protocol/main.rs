//! The job protocol as a model: every order of messages, deaths, losses, repetitions and clocks, up to a bound, driven through the
//! functions that ship. Mutants of them must break a promise; one that did not would mean that the model looks away there.

mod model;
mod promises;
mod world;

use n2s_domain::job::{Event, JobRow, JobState, Step, step};
use stateright::{Checker as _, HasDiscoveries, Model as _};

use model::Rules;

#[test]
fn the_protocol_keeps_its_promises_in_every_reachable_state() {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let checker = Rules::shipped().checker().threads(threads).spawn_bfs().join();
    assert!(checker.unique_state_count() > 500_000, "only {} states", checker.unique_state_count());
    checker.assert_properties();
}

/// Finds the promise that the mutant breaks.
#[track_caller]
fn breaks(rules: Rules, promise: &'static str) {
    let checker = rules.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    assert!(found.contains_key(promise), "found only {:?}", found.keys());
}

fn mutant(step: fn(JobRow, Event) -> Step) -> Rules {
    Rules { step, ..Rules::shipped() }
}

#[test]
fn a_finish_that_is_not_fenced_is_found() {
    breaks(
        mutant(|row, event| match event {
            Event::Finish { verdict, .. } if row.state == JobState::Leased => {
                step(row, Event::Finish { epoch: row.epoch, verdict })
            }
            other => step(row, other),
        }),
        "a claim's outcome is accepted once",
    );
}

#[test]
fn a_finish_of_a_lease_that_lapsed_is_found() {
    breaks(
        mutant(|row, event| match event {
            // The state is not looked at: a job that was swept and is pending again takes the outcome.
            Event::Finish { epoch, .. } if epoch == row.epoch => {
                step(JobRow { state: JobState::Leased, ..row }, event)
            }
            other => step(row, other),
        }),
        "a claim's outcome is accepted once",
    );
}

#[test]
fn a_lapse_that_costs_the_objects_budget_is_found() {
    breaks(
        mutant(|row, event| match step(row, event) {
            Step::Becomes(next) if next.lost_count > row.lost_count => {
                Step::Becomes(JobRow { retry_count: next.retry_count + 1, ..next })
            }
            other => other,
        }),
        "retry_count counts the object's own failures",
    );
}

#[test]
fn a_message_loss_that_counts_as_a_lapse_is_found() {
    breaks(
        mutant(|row, event| match (row.state, step(row, event)) {
            (JobState::Queued, Step::Becomes(next)) if matches!(event, Event::Sweep { .. }) => {
                Step::Becomes(JobRow { lost_count: next.lost_count + 1, ..next })
            }
            (_, other) => other,
        }),
        "lost_count counts lapsed leases",
    );
}

#[test]
fn a_sweep_that_forgets_queued_jobs_is_found() {
    breaks(
        mutant(|row, event| match event {
            Event::Sweep { .. } if row.state == JobState::Queued => Step::Nothing,
            other => step(row, other),
        }),
        "nothing is overdue after a sweep",
    );
}

#[test]
fn a_heartbeat_without_end_is_found() {
    breaks(
        mutant(|row, event| match event {
            Event::Heartbeat { epoch, lease_until }
                if row.state == JobState::Leased && epoch == row.epoch =>
            {
                Step::Becomes(JobRow { deadline: lease_until, ..row })
            }
            other => step(row, other),
        }),
        "no lease outlives its hard maximum",
    );
}

#[test]
fn staging_that_lets_go_too_early_is_found() {
    breaks(Rules { frees_when_completed: false, ..Rules::shipped() }, "what is pending has a source");
}

#[test]
fn a_completion_that_fires_twice_is_found() {
    breaks(Rules { fires_once: false, ..Rules::shipped() }, "completion fires once for a generation");
}

#[test]
fn an_id_given_out_again_is_found() {
    breaks(Rules { fresh_ids: false, ..Rules::shipped() }, "a claim's outcome is accepted once");
}

#[test]
fn a_worker_that_does_not_wait_for_the_store_is_found() {
    breaks(Rules { waits_for_answer: false, ..Rules::shipped() }, "completed means readable");
}
