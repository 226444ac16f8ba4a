//! The life of a job: the row is the truth, the message is a hint.
//!
//! ```text
//!            ┌────────── due again: backoff, hand-back, deadline or lease passed ──────────┐
//!            ▼                                                                             │
//!         Pending ──Dispatch──▶ Queued ──Claim──▶ Leased ──Finish──▶ gone (Stored | Failed)│
//!            ▲                    │                 │                                      │
//!            └─Unpublish, Sweep───┴────Sweep────────┴──────────────────────────────────────┘
//! ```
//!
//! Each catalog implements these transitions in SQL; the conformance suite holds them against [`step`].

use serde::{Deserialize, Serialize};

use crate::judge::Verdict;
use crate::limits::{LOSSES_ALONE_MAX, LOSSES_BEFORE_ALONE};
use crate::time::Timestamp;

/// Where a live job stands. Finished jobs have no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits in the catalog until it is due and the dispatcher takes it.
    Pending,
    /// A message for it is, or was, on its way.
    Queued,
    /// A worker holds it.
    Leased,
}

/// The columns of a job that decide its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobRow {
    /// Where it stands.
    pub state: JobState,
    /// Counts dispatches; a message of an earlier dispatch is stale.
    pub dispatch_seq: u64,
    /// Counts claims; an outcome of an earlier claim is fenced off.
    pub epoch: u64,
    /// Pending: not before this.
    pub due_at: Timestamp,
    /// Queued: pending again after this. Leased: lost after this. Meaningless while pending.
    pub deadline: Timestamp,
    /// Leased: no heartbeat extends the deadline past this.
    pub held_until: Timestamp,
    /// Failures charged to the object.
    pub retry_count: u32,
    /// Leases that lapsed.
    pub lost_count: u32,
}

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The dispatcher takes it, before it publishes.
    Dispatch {
        /// The database's clock.
        now: Timestamp,
        /// When the message counts as lost.
        queued_until: Timestamp,
    },
    /// The broker refused or returned the message of this dispatch.
    Unpublish {
        /// The message's.
        dispatch_seq: u64,
    },
    /// A worker received the message of this dispatch.
    Claim {
        /// The message's.
        dispatch_seq: u64,
        /// When the lease lapses without a heartbeat.
        lease_until: Timestamp,
        /// When it lapses in any case.
        held_until: Timestamp,
    },
    /// The worker is still moving it.
    Heartbeat {
        /// The claim's.
        epoch: u64,
        /// The lease's new end.
        lease_until: Timestamp,
    },
    /// The worker is done with it.
    Finish {
        /// The claim's.
        epoch: u64,
        /// As judged.
        verdict: FinishVerdict,
    },
    /// The sweeper looks at it.
    Sweep {
        /// The database's clock.
        now: Timestamp,
    },
    /// A new engine took over a home: whoever held the job is gone, through no fault of the job.
    TakeOver {
        /// The database's clock.
        now: Timestamp,
    },
}

/// [`Verdict`] in a form that can be hashed, as a model checker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishVerdict {
    /// See [`Verdict::Stored`].
    Stored,
    /// See [`Verdict::Retry`].
    Retry {
        /// Not before this instant.
        due_at: Timestamp,
        /// Whether the object's budget pays.
        charged: bool,
    },
    /// See [`Verdict::Failed`].
    Failed,
}

impl From<Verdict> for FinishVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Stored => Self::Stored,
            Verdict::Retry { due_at, charged } => Self::Retry { due_at, charged },
            Verdict::Failed => Self::Failed,
        }
    }
}

/// What an event does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The row becomes this.
    Becomes(JobRow),
    /// The row is deleted; its placement is completed.
    EndsStored,
    /// The row is deleted; its placement has failed. `lost` when workers kept disappearing with it.
    EndsFailed {
        /// Whether lost leases were the reason.
        lost: bool,
    },
    /// The event is stale, early or about another claim: nothing changes.
    Nothing,
}

impl JobRow {
    /// A new job, due at once.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            state: JobState::Pending,
            dispatch_seq: 0,
            epoch: 0,
            due_at: now,
            deadline: now,
            held_until: now,
            retry_count: 0,
            lost_count: 0,
        }
    }

    /// Whether it must run with nothing beside it, because workers have disappeared while they held it.
    pub const fn runs_alone(&self) -> bool {
        self.lost_count >= LOSSES_BEFORE_ALONE
    }

    const fn pending(self, due_at: Timestamp) -> Self {
        Self { state: JobState::Pending, due_at, ..self }
    }
}

/// The one transition function of jobs.
pub fn step(row: JobRow, event: Event) -> Step {
    use JobState::{Leased, Pending, Queued};
    match (row.state, event) {
        (Pending, Event::Dispatch { now, queued_until }) if row.due_at <= now => Step::Becomes(JobRow {
            state: Queued,
            dispatch_seq: row.dispatch_seq + 1,
            deadline: queued_until,
            ..row
        }),
        (Queued, Event::Unpublish { dispatch_seq }) if dispatch_seq == row.dispatch_seq => {
            Step::Becomes(row.pending(row.due_at))
        }
        (Queued, Event::Claim { dispatch_seq, lease_until, held_until })
            if dispatch_seq == row.dispatch_seq =>
        {
            Step::Becomes(JobRow {
                state: Leased,
                epoch: row.epoch + 1,
                deadline: lease_until.min(held_until),
                held_until,
                ..row
            })
        }
        (Leased, Event::Heartbeat { epoch, lease_until }) if epoch == row.epoch => {
            Step::Becomes(JobRow { deadline: lease_until.min(row.held_until), ..row })
        }
        (Leased, Event::Finish { epoch, verdict }) if epoch == row.epoch => finished(row, verdict),
        (Queued, Event::Sweep { now }) if row.deadline <= now => Step::Becomes(row.pending(now)),
        (Leased, Event::Sweep { now }) if row.deadline <= now => lost(row, now),
        (Queued | Leased, Event::TakeOver { now }) => Step::Becomes(row.pending(now)),
        _ => Step::Nothing,
    }
}

fn finished(row: JobRow, verdict: FinishVerdict) -> Step {
    match verdict {
        FinishVerdict::Stored => Step::EndsStored,
        FinishVerdict::Failed => Step::EndsFailed { lost: false },
        FinishVerdict::Retry { due_at, charged } => {
            Step::Becomes(JobRow { retry_count: row.retry_count + u32::from(charged), ..row.pending(due_at) })
        }
    }
}

/// Two lapses may be somebody else's crash; from then on the job runs alone, and only those lapses are held against it.
fn lost(row: JobRow, now: Timestamp) -> Step {
    let lost_count = row.lost_count + 1;
    if lost_count >= LOSSES_BEFORE_ALONE + LOSSES_ALONE_MAX {
        return Step::EndsFailed { lost: true };
    }
    Step::Becomes(JobRow { lost_count, ..row.pending(now) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const T0: Timestamp = Timestamp::from_micros(0);

    fn becomes(row: JobRow, event: Event) -> JobRow {
        match step(row, event) {
            Step::Becomes(next) => next,
            other => panic!("{event:?} on {row:?} gave {other:?}"),
        }
    }

    fn leased() -> JobRow {
        let later = T0.after(Duration::from_mins(1));
        let queued = becomes(JobRow::new(T0), Event::Dispatch { now: T0, queued_until: later });
        becomes(
            queued,
            Event::Claim {
                dispatch_seq: 1,
                lease_until: later,
                held_until: later.after(Duration::from_mins(1)),
            },
        )
    }

    #[test]
    fn a_stale_message_or_a_fenced_worker_changes_nothing() {
        let row = leased();
        assert_eq!(
            step(row, Event::Claim { dispatch_seq: 1, lease_until: T0, held_until: T0 }),
            Step::Nothing
        );
        assert_eq!(step(row, Event::Finish { epoch: 0, verdict: FinishVerdict::Stored }), Step::Nothing);
        assert_eq!(step(row, Event::Unpublish { dispatch_seq: 1 }), Step::Nothing);
        assert_eq!(step(row, Event::Finish { epoch: 1, verdict: FinishVerdict::Stored }), Step::EndsStored);
    }

    #[test]
    fn heartbeats_end_at_the_hard_maximum() {
        let row = leased();
        let far = T0.after(Duration::from_hours(1));
        assert_eq!(becomes(row, Event::Heartbeat { epoch: 1, lease_until: far }).deadline, row.held_until);
    }

    #[test]
    fn lost_leases_cost_no_retry_and_fail_a_job_only_when_it_was_alone() {
        let mut row = JobRow::new(T0);
        let mut lapses = 0;
        loop {
            let queued = becomes(row, Event::Dispatch { now: T0, queued_until: T0 });
            let held = becomes(
                queued,
                Event::Claim { dispatch_seq: queued.dispatch_seq, lease_until: T0, held_until: T0 },
            );
            lapses += 1;
            match step(held, Event::Sweep { now: T0 }) {
                Step::Becomes(next) => row = next,
                Step::EndsFailed { lost: true } => break,
                other => panic!("{other:?}"),
            }
            assert_eq!((row.retry_count, row.runs_alone()), (0, lapses >= 2));
        }
        assert_eq!(lapses, 7);
    }

    #[test]
    fn a_takeover_costs_nothing() {
        let row = becomes(leased(), Event::TakeOver { now: T0 });
        assert_eq!((row.state, row.retry_count, row.lost_count), (JobState::Pending, 0, 0));
    }
}
