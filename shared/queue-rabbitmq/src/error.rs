//! What goes wrong with a broker, and what the queue's seam makes of it.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use n2s_domain::BackendName;
use n2s_queue::{QueueError, QueueErrorKind};

/// A failure that concerns the broker as a whole. It never holds a password: the URL is not in it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{op} failed ({kind:?}): {cause}")]
pub struct BrokerError {
    /// Decides what happens next.
    pub kind: QueueErrorKind,
    /// What was to be done.
    pub op: &'static str,
    /// What the broker or the network said.
    pub cause: String,
}

impl BrokerError {
    pub(crate) fn unavailable(op: &'static str, cause: impl Into<String>) -> Self {
        Self { kind: QueueErrorKind::Unavailable, op, cause: cause.into() }
    }

    pub(crate) fn misconfigured(op: &'static str, cause: impl Into<String>) -> Self {
        Self { kind: QueueErrorKind::Misconfigured, op, cause: cause.into() }
    }

    /// As the answer of a store's queue.
    pub(crate) fn of(self, backend: &BackendName) -> QueueError {
        QueueError {
            kind: self.kind,
            op: self.op,
            backend: backend.clone(),
            source: anyhow::Error::new(self),
        }
    }
}

/// Names the operation and decides the kind: what the broker refuses, a person must look at.
pub(crate) fn explain(op: &'static str, error: &lapin::Error) -> BrokerError {
    let kind = match error.kind() {
        ErrorKind::ProtocolError(protocol) if is_refusal(protocol.kind()) => QueueErrorKind::Misconfigured,
        _ => QueueErrorKind::Unavailable,
    };
    BrokerError { kind, op, cause: error.to_string() }
}

/// Whether an error says that a channel or its connection has ended before, and not why.
pub(crate) fn is_afterwards(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(..))
}

fn is_refusal(kind: &AMQPErrorKind) -> bool {
    matches!(
        kind,
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED)
    )
}

/// Awaits an answer of the broker for at most `limit`: lapin's futures last as long as an outage does.
pub(crate) async fn bounded<T>(
    op: &'static str,
    limit: Duration,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(explain(op, &error)),
        Err(_elapsed) => Err(BrokerError::unavailable(op, format!("no answer within {limit:?}"))),
    }
}
