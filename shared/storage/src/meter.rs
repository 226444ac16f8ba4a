//! One store's counters and log lines, made once when the store is opened, so that an operation only adds to them.

use std::sync::Arc;
use std::time::Instant;

use n2s_domain::FailureKind;
use n2s_telemetry::metrics::{Counter, GaugeGuard, Timer, families};
use tracing::Level;

use crate::error::StorageError;
use crate::key::ObjectKey;

/// The methods of a store that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Store,
    Retrieve,
    Stat,
    Delete,
    /// From the call to the end of the stream.
    List,
    Health,
    Sweep,
}

impl Operation {
    const ALL: [Self; 7] =
        [Self::Store, Self::Retrieve, Self::Stat, Self::Delete, Self::List, Self::Health, Self::Sweep];

    /// Its name, as errors have it.
    const fn as_str(self) -> &'static str {
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

/// One operation's numbers.
#[derive(Debug)]
struct Numbers {
    ok: Counter,
    /// By [`FailureKind::ALL`]'s order.
    failed: [Counter; FailureKind::ALL.len()],
    abandoned: Counter,
    bytes: Counter,
    seconds: Timer,
    running: GaugeGuard<2>,
}

impl Numbers {
    fn new(backend: &str, operation: Operation) -> Self {
        let operation = operation.as_str();
        let objects = |result| families::STORE_OBJECTS.with([backend, operation, result]);
        Self {
            ok: objects("ok"),
            failed: FailureKind::ALL.map(|kind| objects(kind.as_str())),
            abandoned: objects("abandoned"),
            bytes: families::STORE_BYTES.with([backend, operation]),
            seconds: families::STORE_SECONDS.with([backend, operation]),
            running: families::STORE_RUNNING.hold([backend, operation]),
        }
    }
}

/// What is said of the operations of one store.
#[derive(Debug)]
pub(crate) struct Meter {
    backend: String,
    /// Where its objects lie, for the log; `None` where the store has no buckets.
    bucket: Option<String>,
    numbers: [Numbers; Operation::ALL.len()],
}

impl Meter {
    pub(crate) fn new(backend: &str, bucket: Option<String>) -> Arc<Self> {
        let numbers = Operation::ALL.map(|operation| Numbers::new(backend, operation));
        Arc::new(Self { backend: backend.to_owned(), bucket, numbers })
    }

    /// A call begins. The keys and sizes are looked at only when somebody reads the log of operations.
    pub(crate) fn begin(
        self: &Arc<Self>,
        operation: Operation,
        objects: impl IntoIterator<Item = (ObjectKey, Option<u64>)>,
    ) -> Running {
        let numbers = &self.numbers[operation as usize];
        numbers.running.add(1.0);
        let logged = if tracing::enabled!(Level::DEBUG) { objects.into_iter().collect() } else { Vec::new() };
        for (key, size) in &logged {
            tracing::debug!(
                op.name = operation.as_str(),
                backend.name = self.backend,
                s3.bucket = self.bucket,
                object.key = %key,
                object.size = size,
                "a store operation begins"
            );
        }
        Running { meter: Arc::clone(self), operation, begun: Instant::now(), logged, answered: false }
    }
}

/// A call on its way. Dropped before it was answered, it counts as abandoned.
pub(crate) struct Running {
    meter: Arc<Meter>,
    operation: Operation,
    begun: Instant,
    logged: Vec<(ObjectKey, Option<u64>)>,
    answered: bool,
}

impl Running {
    /// Counts an object of a call that goes on.
    pub(crate) fn object<T>(&self, answer: &Result<T, StorageError>) {
        self.count(answer, |_| 0);
    }

    /// Ends the call.
    pub(crate) fn answered<'t, T: 't>(
        mut self,
        answers: impl IntoIterator<Item = &'t Result<T, StorageError>>,
        bytes: impl Fn(usize, &T) -> u64,
    ) {
        self.answered = true;
        self.numbers().seconds.since(self.begun);
        for (place, answer) in answers.into_iter().enumerate() {
            let moved = self.count(answer, |answer| bytes(place, answer));
            self.log(place, answer.as_ref().map(|_| moved));
        }
    }

    fn count<T>(&self, answer: &Result<T, StorageError>, bytes: impl FnOnce(&T) -> u64) -> u64 {
        let numbers = self.numbers();
        match answer {
            Ok(answer) => {
                let moved = bytes(answer);
                numbers.ok.increment();
                numbers.bytes.add(moved);
                moved
            }
            Err(error) => {
                let place = FailureKind::ALL.iter().position(|kind| *kind == error.kind);
                numbers.failed[place.expect("ALL has every kind")].increment();
                0
            }
        }
    }

    /// Failures are told at `info`, since each may cost an attempt; the rest, one line per object, at `debug`.
    fn log(&self, place: usize, answer: Result<u64, &StorageError>) {
        let Meter { backend, bucket, .. } = &*self.meter;
        let key = self.logged.get(place).map(|(key, _)| key.as_str());
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answer {
            Ok(moved) if key.is_some() => {
                let size = self.logged[place].1.unwrap_or(moved);
                tracing::debug!(
                    op.name = self.operation.as_str(),
                    op.result = "ok",
                    op.duration_ms = took,
                    backend.name = backend,
                    s3.bucket = bucket.as_deref(),
                    object.key = key,
                    object.size = size,
                    "a store operation ended"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::info!(
                op.name = self.operation.as_str(),
                op.result = error.kind.as_str(),
                op.duration_ms = took,
                backend.name = backend,
                s3.bucket = bucket.as_deref(),
                object.key = error.key.as_ref().map(ObjectKey::as_str).or(key),
                object.size = self.logged.get(place).and_then(|(_, size)| *size),
                error = error.report(),
                "a store operation ended"
            ),
        }
    }

    fn numbers(&self) -> &Numbers {
        &self.meter.numbers[self.operation as usize]
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let numbers = self.numbers();
        numbers.running.add(-1.0);
        if !self.answered {
            numbers.abandoned.increment();
        }
    }
}
