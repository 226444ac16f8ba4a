//! What a store was asked for and how it answered, as plain numbers. Telemetry reads them; nothing here knows how they are shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use n2s_domain::FailureKind;

use crate::error::StorageError;

/// The methods of a store that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `store`
    Store,
    /// `retrieve`
    Retrieve,
    /// `stat`
    Stat,
    /// `delete`
    Delete,
    /// `list`, from the call to the end of the stream.
    List,
    /// `health`
    Health,
    /// `sweep`
    Sweep,
}

impl Operation {
    /// Every operation, in the order of declaration.
    pub const ALL: [Self; 7] =
        [Self::Store, Self::Retrieve, Self::Stat, Self::Delete, Self::List, Self::Health, Self::Sweep];

    /// Its name, as errors have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Retrieve => "retrieve",
            Self::Stat => "stat",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Health => "health",
            Self::Sweep => "sweep",
        }
    }
}

/// Upper bounds of the classes of durations, in milliseconds; the last class has none.
pub const DURATION_BOUNDS_MS: [u64; 9] = [1, 4, 16, 64, 256, 1_000, 4_000, 16_000, 64_000];

/// One operation's numbers since the store was opened. All only grow but `running`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Calls that ended with an answer.
    pub calls: u64,
    /// Calls whose caller went away before the answer.
    pub abandoned: u64,
    /// Calls that wait for their answer.
    pub running: u64,
    /// Objects that were answered well. The absence of one that was looked for is a good answer.
    pub succeeded: u64,
    /// Objects that failed, by [`FailureKind::ALL`]'s order.
    pub failed: [u64; FailureKind::ALL.len()],
    /// Bytes that were acknowledged or came back.
    pub bytes: u64,
    /// How long answered calls took, together.
    pub duration: Duration,
    /// Answered calls by [`DURATION_BOUNDS_MS`]; each is in one class only.
    pub durations: [u64; DURATION_BOUNDS_MS.len() + 1],
}

/// All numbers of a store at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSnapshot {
    /// The store's configured name.
    pub backend: Arc<str>,
    /// One for each of [`Operation::ALL`], in its order.
    pub operations: [OperationCounts; Operation::ALL.len()],
}

impl MeterSnapshot {
    /// One operation's numbers.
    pub fn of(&self, operation: Operation) -> &OperationCounts {
        &self.operations[operation as usize]
    }
}

impl OperationCounts {
    /// Objects that failed in this way.
    pub fn failed_with(&self, kind: FailureKind) -> u64 {
        let place = FailureKind::ALL.iter().position(|other| *other == kind);
        self.failed[place.expect("ALL has every kind")]
    }

    fn count<T>(&mut self, answer: &Result<T, StorageError>, bytes: impl FnOnce(&T) -> u64) {
        match answer {
            Ok(answer) => {
                self.succeeded += 1;
                self.bytes += bytes(answer);
            }
            Err(error) => {
                let place = FailureKind::ALL.iter().position(|kind| *kind == error.kind);
                self.failed[place.expect("ALL has every kind")] += 1;
            }
        }
    }
}

/// The numbers of one store, shared by the store that counts and whoever reads.
#[derive(Debug)]
pub struct Meter {
    backend: Arc<str>,
    // One lock for all: it is taken twice for a batch, and what is read belongs together.
    operations: Mutex<[OperationCounts; Operation::ALL.len()]>,
}

impl Meter {
    pub(crate) fn new(backend: &str) -> Self {
        Self { backend: backend.into(), operations: Mutex::default() }
    }

    /// The numbers now.
    pub fn snapshot(&self) -> MeterSnapshot {
        MeterSnapshot { backend: Arc::clone(&self.backend), operations: self.lock().clone() }
    }

    fn lock(&self) -> MutexGuard<'_, [OperationCounts; Operation::ALL.len()]> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(self: &Arc<Self>, operation: Operation) -> Running {
        self.lock()[operation as usize].running += 1;
        Running { meter: Arc::clone(self), operation, since: Instant::now(), answered: false }
    }
}

/// A call on its way. Dropped before it was answered, it counts as abandoned.
pub(crate) struct Running {
    meter: Arc<Meter>,
    operation: Operation,
    since: Instant,
    answered: bool,
}

impl Running {
    /// Counts an object of a call that goes on.
    pub(crate) fn object<T>(&self, answer: &Result<T, StorageError>) {
        self.meter.lock()[self.operation as usize].count(answer, |_| 0);
    }

    /// Ends the call.
    pub(crate) fn answered<'t, T: 't>(
        mut self,
        answers: impl IntoIterator<Item = &'t Result<T, StorageError>>,
        mut bytes: impl FnMut(usize, &T) -> u64,
    ) {
        let took = self.since.elapsed();
        self.answered = true;
        let mut operations = self.meter.lock();
        let counts = &mut operations[self.operation as usize];
        counts.calls += 1;
        counts.duration += took;
        let class = DURATION_BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        counts.durations[class.unwrap_or(DURATION_BOUNDS_MS.len())] += 1;
        for (place, answer) in answers.into_iter().enumerate() {
            counts.count(answer, |answer| bytes(place, answer));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut operations = self.meter.lock();
        let counts = &mut operations[self.operation as usize];
        counts.running -= 1;
        counts.abandoned += u64::from(!self.answered);
    }
}
