//! What a queue can answer besides what was asked for: a kind, which decides, and a cause, which explains.

use n2s_domain::BackendName;

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueErrorKind {
    /// The queue is at its bound: publish later.
    Full,
    /// The broker did not answer usefully: try again later.
    Unavailable,
    /// The broker refuses, or is not set up as n2s needs it: a person must look.
    Misconfigured,
}

/// A queue's failure.
#[derive(Debug, thiserror::Error)]
#[error("{op} on the queue of {backend} failed ({kind:?})")]
pub struct QueueError {
    /// Decides what happens next.
    pub kind: QueueErrorKind,
    /// What was to be done: `publish`, `consume`, `ack`.
    pub op: &'static str,
    /// Whose queue.
    pub backend: BackendName,
    /// The cause.
    #[source]
    pub source: anyhow::Error,
}
