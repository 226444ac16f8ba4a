//! What can happen, in any order, any number of times.

use std::time::Duration;

use n2s_domain::backoff::RetryPolicy;
use n2s_domain::job::{Event, FinishVerdict, JobRow, JobState, Step};
use n2s_domain::judge::{Attempt, Probe, judge};
use n2s_domain::placement::Change;
use n2s_domain::{FailureKind, PlacementStatus, SeededEntropy, Timestamp};
use stateright::{Model, Property};

use crate::world::{Outcome, Ticket, Worker, World};

/// How far the clock goes, and how often a job is dispatched and tried again by an operator: beyond that nothing new happens.
const NOW_MAX: i64 = 2;
const DISPATCHES_MAX: u64 = 2;
const JOBS_MAX: u32 = 2;
const IN_FLIGHT_MAX: usize = 2;
/// How long messages and leases live, in ticks.
const QUEUED: i64 = 1;
const LEASE: i64 = 1;
const HELD: i64 = 2;

/// The code under test, or a mutant of it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The transition function.
    pub step: fn(JobRow, Event) -> Step,
    /// Staging lets go of a blob when its placement is completed, not before.
    pub frees_when_completed: bool,
    /// Completion fires once for a generation.
    pub fires_once: bool,
    /// Ids are never given out again.
    pub fresh_ids: bool,
    /// A worker reports what the store acknowledged, not what it was sent.
    pub waits_for_answer: bool,
}

impl Rules {
    /// The code.
    pub const fn shipped() -> Self {
        Self {
            step: n2s_domain::job::step,
            frees_when_completed: true,
            fires_once: true,
            fresh_ids: true,
            waits_for_answer: true,
        }
    }
}

/// Everything that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    Tick,
    ClockSetBack,
    Dispatch,
    Publish(Ticket),
    Refuse(Ticket),
    DispatcherDies,
    Lose(Ticket),
    BrokerWiped,
    Receive {
        worker: usize,
        ticket: Ticket,
        again: bool,
    },
    Claim {
        worker: usize,
        dies: bool,
    },
    Heartbeat(usize),
    /// The worker ends its upload; without `reports` it dies between the store's answer and its own report.
    End {
        worker: usize,
        outcome: Outcome,
        reports: bool,
    },
    WorkerDies(usize),
    Arrive {
        outcome: (u32, u64, Outcome),
        again: bool,
    },
    Sweep,
    TakeOver,
    OperatorRetries,
    /// Somebody asks the folder to look again: a delta of zero.
    Nudge,
    Fold,
}

impl Model for Rules {
    type State = World;
    type Action = Happening;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, happenings: &mut Vec<Happening>) {
        use Happening as H;
        happenings.extend([
            H::Tick,
            H::ClockSetBack,
            H::Dispatch,
            H::Sweep,
            H::TakeOver,
            H::OperatorRetries,
            H::Nudge,
            H::Fold,
        ]);
        happenings.extend([H::DispatcherDies, H::BrokerWiped]);
        for ticket in &world.unpublished {
            happenings.extend([H::Publish(*ticket), H::Refuse(*ticket)]);
        }
        for ticket in &world.messages {
            happenings.push(H::Lose(*ticket));
            for worker in 0..world.workers.len() {
                let receive = |again| H::Receive { worker, ticket: *ticket, again };
                happenings.extend([receive(true), receive(false)]);
            }
        }
        for (worker, what) in world.workers.iter().enumerate() {
            match what {
                Worker::Idle => {}
                Worker::Received(_) => {
                    happenings.extend([false, true].map(|dies| H::Claim { worker, dies }));
                }
                Worker::Holds { .. } => {
                    happenings.extend([H::Heartbeat(worker), H::WorkerDies(worker)]);
                    for outcome in [Outcome::Stored, Outcome::ObjectFault, Outcome::StoreFault] {
                        happenings.push(H::End { worker, outcome, reports: true });
                    }
                    happenings.push(H::End { worker, outcome: Outcome::Stored, reports: false });
                }
            }
        }
        for outcome in &world.outcomes {
            happenings.extend([true, false].map(|again| H::Arrive { outcome: *outcome, again }));
        }
    }

    fn next_state(&self, before: &World, happening: Happening) -> Option<World> {
        let mut world = before.clone();
        world.just_swept = happening == Happening::Sweep;
        self.happen(&mut world, happening)?;
        // Which of two workers is which makes no difference.
        world.workers.sort_unstable();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::promises::all()
    }

    fn within_boundary(&self, world: &World) -> bool {
        let dispatched = world.job.is_none_or(|(_, row)| row.dispatch_seq <= DISPATCHES_MAX);
        let in_flight = world.messages.len() + world.outcomes.len() + world.unpublished.len();
        world.now <= NOW_MAX && dispatched && world.ids <= JOBS_MAX && in_flight <= IN_FLIGHT_MAX
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

impl Rules {
    fn happen(&self, world: &mut World, happening: Happening) -> Option<()> {
        use Happening as H;
        match happening {
            H::Tick => world.now += 1,
            H::ClockSetBack => {
                world.now = world.now.checked_sub(1).filter(|now| *now >= 0 && !world.set_back)?;
                world.set_back = true;
            }
            H::Dispatch | H::Publish(_) | H::Refuse(_) | H::DispatcherDies => {
                self.dispatcher(world, happening)?;
            }
            H::Lose(ticket) => drop(world.messages.remove(&ticket)),
            H::BrokerWiped => world.messages.clear(),
            H::Receive { .. } | H::Claim { .. } | H::Heartbeat(_) | H::End { .. } | H::WorkerDies(_) => {
                self.worker(world, happening)?;
            }
            H::Arrive { outcome, again } => {
                if !again {
                    world.outcomes.remove(&outcome);
                }
                self.arrive(world, outcome);
            }
            H::Sweep => self.sweep(world),
            H::TakeOver => {
                // The engine died with everything that was in its process.
                world.messages.clear();
                world.unpublished.clear();
                world.outcomes.clear();
                world.workers = [Worker::Idle; 2];
                self.apply(world, Event::TakeOver { now: at(world.now) });
            }
            H::OperatorRetries => self.retry(world)?,
            H::Nudge if is_settled(world) && world.deltas.0 == 0 => append(world, 0),
            H::Nudge => return None,
            H::Fold => self.fold(world),
        }
        Some(())
    }

    fn dispatcher(&self, world: &mut World, happening: Happening) -> Option<()> {
        match happening {
            Happening::Dispatch => {
                let event = Event::Dispatch { now: at(world.now), queued_until: at(world.now + QUEUED) };
                let row = self.apply(world, event)?;
                world.unpublished.insert((world.job?.0, row.dispatch_seq));
            }
            Happening::Publish(ticket) => {
                world.unpublished.remove(&ticket);
                world.messages.insert(ticket);
            }
            Happening::Refuse(ticket) => {
                world.unpublished.remove(&ticket);
                if world.job?.0 == ticket.0 {
                    self.apply(world, Event::Unpublish { dispatch_seq: ticket.1 });
                }
            }
            _ => world.unpublished.clear(),
        }
        Some(())
    }

    fn worker(&self, world: &mut World, happening: Happening) -> Option<()> {
        match happening {
            Happening::Receive { worker, ticket, again } => {
                if world.workers[worker] != Worker::Idle {
                    return None;
                }
                world.workers[worker] = Worker::Received(ticket);
                if !again {
                    world.messages.remove(&ticket);
                }
            }
            Happening::Claim { worker, dies } => self.claim(world, worker, dies),
            Happening::Heartbeat(worker) => {
                let Worker::Holds { job, epoch } = world.workers[worker] else { return None };
                let lease_until = at(world.now + LEASE);
                let same = world.job.is_some_and(|(id, _)| id == job);
                let beat = same.then(|| self.apply(world, Event::Heartbeat { epoch, lease_until })).flatten();
                if beat.is_none() {
                    // Fenced off: it stops.
                    world.workers[worker] = Worker::Idle;
                }
            }
            Happening::End { worker, outcome, reports } => {
                let Worker::Holds { job, epoch } = world.workers[worker] else { return None };
                world.stored |= outcome == Outcome::Stored && self.waits_for_answer;
                world.workers[worker] = Worker::Idle;
                if reports {
                    world.outcomes.insert((job, epoch, outcome));
                }
            }
            Happening::WorkerDies(worker) => world.workers[worker] = Worker::Idle,
            _ => return None,
        }
        Some(())
    }

    /// The row after the event; `None` when the event changed nothing or ended the job.
    fn apply(&self, world: &mut World, event: Event) -> Option<JobRow> {
        let (id, row) = world.job?;
        match (self.step)(row, event) {
            Step::Becomes(row) => {
                world.job = Some((id, row));
                Some(row)
            }
            Step::EndsStored => {
                end(world, Change::Stored);
                None
            }
            Step::EndsFailed { .. } => {
                end(world, Change::Failed);
                None
            }
            Step::Nothing => None,
        }
    }

    fn claim(&self, world: &mut World, worker: usize, dies: bool) {
        let Worker::Received((job, dispatch_seq)) = world.workers[worker] else { return };
        world.workers[worker] = Worker::Idle;
        let (lease_until, held_until) = (at(world.now + LEASE), at(world.now + HELD));
        if world.job.is_none_or(|(id, _)| id != job) {
            return;
        }
        if let Some(row) = self.apply(world, Event::Claim { dispatch_seq, lease_until, held_until }) {
            world.staged &= self.frees_when_completed;
            if !dies {
                world.workers[worker] = Worker::Holds { job, epoch: row.epoch };
            }
        }
    }

    fn arrive(&self, world: &mut World, (job, epoch, outcome): (u32, u64, Outcome)) {
        let Some((id, row)) = world.job.filter(|(id, _)| *id == job) else { return };
        let (verdict, charged) = verdict(row, outcome, at(world.now));
        if (self.step)(row, Event::Finish { epoch, verdict }) == Step::Nothing {
            return;
        }
        self.apply(world, Event::Finish { epoch, verdict });
        world.accepted_twice |= world.accepted.is_some_and(|latest| (id, epoch) <= latest);
        world.accepted = world.accepted.max(Some((id, epoch)));
        world.charged += u32::from(charged);
    }

    fn sweep(&self, world: &mut World) {
        let leased = world.job.is_some_and(|(_, row)| row.state == JobState::Leased);
        let before = world.job;
        self.apply(world, Event::Sweep { now: at(world.now) });
        world.lapsed += u32::from(leased && world.job != before);
    }

    fn retry(&self, world: &mut World) -> Option<()> {
        world.placement = world.placement.after(Change::Retried)?;
        world.ids += u32::from(self.fresh_ids);
        world.job = Some((world.ids, JobRow::new(at(world.now))));
        (world.charged, world.lapsed) = (0, 0);
        world.generation += 1;
        world.fired = 0;
        append(world, 1);
        Some(())
    }

    fn fold(&self, world: &mut World) {
        let (rows, sum) = std::mem::take(&mut world.deltas);
        world.waiting += sum;
        let fired = self.fires_once && world.fired > 0;
        if rows > 0 && world.waiting == 0 && !fired {
            world.fired += 1;
        }
    }
}

fn end(world: &mut World, change: Change) {
    world.job = None;
    if let Some(placement) = world.placement.after(change) {
        world.placement = placement;
        append(world, -1);
    }
    if change == Change::Stored {
        world.staged = false;
    }
}

fn append(world: &mut World, delta: i32) {
    world.deltas = (world.deltas.0 + 1, world.deltas.1 + delta);
}

/// The shipped judge, with delays of at most one tick.
fn verdict(row: JobRow, outcome: Outcome, now: Timestamp) -> (FinishVerdict, bool) {
    let kind = match outcome {
        Outcome::Stored => return (FinishVerdict::Stored, false),
        Outcome::ObjectFault => FailureKind::Corrupt,
        Outcome::StoreFault => FailureKind::Unavailable,
    };
    let attempt = Attempt {
        kind,
        retry_after: None,
        charged: row.retry_count,
        store_faults: 1,
        others_succeed: false,
        probe: Probe::Unknown,
    };
    let tick = Duration::from_micros(1);
    let policy = RetryPolicy { attempts_max: 2, base: tick, cap: tick };
    let verdict = FinishVerdict::from(judge(&attempt, &policy, now, &SeededEntropy::new(1)).0);
    (verdict, matches!(verdict, FinishVerdict::Retry { charged: true, .. }))
}

/// Whether nothing is owed any more.
pub fn is_settled(world: &World) -> bool {
    world.placement != PlacementStatus::Pending
}
