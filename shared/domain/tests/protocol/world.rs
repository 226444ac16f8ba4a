//! What there is: a row, messages, workers, a store, and what was promised of them.

use std::collections::BTreeSet;

use n2s_domain::PlacementStatus;
use n2s_domain::job::JobRow;

/// One blob on its way to one store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The database's clock, in microseconds.
    pub now: i64,
    /// Whether the clock was set back once.
    pub set_back: bool,
    /// The live job, and its id, which is never given out again.
    pub job: Option<(u32, JobRow)>,
    /// Ids given out.
    pub ids: u32,
    /// The placement's row.
    pub placement: PlacementStatus,
    /// Whether staging holds the blob.
    pub staged: bool,
    /// Whether the store holds it.
    pub stored: bool,
    /// Marked queued and committed, not yet published.
    pub unpublished: BTreeSet<Ticket>,
    /// In the broker. Delivering may leave one there: delivery is at least once.
    pub messages: BTreeSet<Ticket>,
    /// The workers.
    pub workers: [Worker; 2],
    /// Outcomes on their way to the database; they, too, may arrive again.
    pub outcomes: BTreeSet<(u32, u64, Outcome)>,
    /// The latest claim whose outcome was accepted; claims are numbered upward.
    pub accepted: Option<(u32, u64)>,
    /// Whether an outcome was accepted of a claim that had one already.
    pub accepted_twice: bool,
    /// Accepted outcomes that the object's budget paid for, of the live job.
    pub charged: u32,
    /// Leases of the live job that lapsed.
    pub lapsed: u32,
    /// What the changeset waits for, as folded, and what is not folded yet: how many deltas, and their sum.
    pub waiting: i32,
    /// See `waiting`.
    pub deltas: (u8, i32),
    /// The changeset's generation, and how often completion fired in it.
    pub generation: u32,
    /// See `generation`.
    pub fired: u32,
    /// Whether the last thing that happened was a sweep.
    pub just_swept: bool,
}

/// Names a dispatch: job and sequence.
pub type Ticket = (u32, u64);

/// A worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worker {
    /// Waits.
    Idle,
    /// Holds a message, and has not claimed.
    Received(Ticket),
    /// Its claim was committed.
    Holds {
        /// The job.
        job: u32,
        /// The claim.
        epoch: u64,
    },
}

/// What a worker says of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The store acknowledged the bytes.
    Stored,
    /// The object was refused for a reason of its own.
    ObjectFault,
    /// The store did not answer.
    StoreFault,
}

impl World {
    /// The blob is staged, its placement and job exist, and a committed changeset waits for it.
    pub fn new() -> Self {
        Self {
            now: 0,
            set_back: false,
            job: Some((1, JobRow::new(n2s_domain::Timestamp::from_micros(0)))),
            ids: 1,
            placement: PlacementStatus::Pending,
            staged: true,
            stored: false,
            unpublished: BTreeSet::new(),
            messages: BTreeSet::new(),
            workers: [Worker::Idle; 2],
            outcomes: BTreeSet::new(),
            accepted: None,
            accepted_twice: false,
            charged: 0,
            lapsed: 0,
            waiting: 1,
            deltas: (0, 0),
            generation: 0,
            fired: 0,
            just_swept: false,
        }
    }
}
