//! Publishing with a window of confirms: every message is answered for by itself, and nothing waits for ever.

use futures_util::StreamExt as _;
use futures_util::stream;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use n2s_domain::BackendName;
use n2s_failpoints::{Point, failpoint};
use n2s_queue::{Message, QueueErrorKind};
use n2s_telemetry::metrics::families;
use tokio::time::{Instant, timeout_at};

use crate::error::{BrokerError, explain, is_afterwards};
use crate::session::Session;
use crate::topology::WORK;

const OP: &str = "publish";
/// Kept on disk by the broker.
const PERSISTENT: u8 = 2;

/// One answer per message, in order, by `deadline`.
pub(crate) async fn publish(
    session: &Session,
    backend: &BackendName,
    messages: &[Message],
    deadline: Instant,
) -> Vec<Result<(), BrokerError>> {
    let mut publishing = Vec::with_capacity(messages.len());
    for message in messages {
        publishing.push(one(session, backend, message.encode(), deadline));
    }
    stream::iter(publishing).buffered(session.options.confirm_window.max(1)).collect().await
}

async fn one(
    session: &Session,
    backend: &BackendName,
    payload: Vec<u8>,
    deadline: Instant,
) -> Result<(), BrokerError> {
    if session.is_blocked() {
        return Err(blocked());
    }
    let answer = tokio::select! {
        answer = timeout_at(deadline, sent_and_confirmed(session, backend, &payload)) => answer,
        cause = session.ended() => return Err(cause),
    };
    match answer {
        Ok(Ok(confirmation)) => judge(session, backend, confirmation),
        Ok(Err(error)) if is_afterwards(&error) => {
            let cause = timeout_at(deadline, session.ended()).await;
            Err(cause.unwrap_or_else(|_elapsed| late(session)))
        }
        Ok(Err(error)) => {
            let error = explain(OP, &error);
            session.fail(error.clone());
            Err(error)
        }
        Err(_elapsed) => Err(late(session)),
    }
}

async fn sent_and_confirmed(
    session: &Session,
    backend: &BackendName,
    payload: &[u8],
) -> lapin::Result<Confirmation> {
    let publisher = session.publisher.as_ref().expect("a session for publishing has one");
    let _permit = publisher.window.acquire().await.expect("it is never closed");
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let key = backend.as_str().into();
    let confirmation =
        publisher.channel.basic_publish(WORK.into(), key, options, payload, properties).await?;
    failpoint(Point::Sent);
    confirmation.await
}

/// An unroutable message is confirmed like any other: only the returned message tells.
fn judge(session: &Session, backend: &BackendName, confirmation: Confirmation) -> Result<(), BrokerError> {
    let refused = confirmation.is_nack();
    let unsure = confirmation == Confirmation::NotRequested;
    if let Some(returned) = confirmation.take_message() {
        session.forget_declared(backend);
        families::RETURNED.with([backend.as_str()]).increment();
        let why = format!("returned: {} {}", returned.reply_code, returned.reply_text);
        return Err(BrokerError::unavailable(OP, why));
    }
    if refused {
        let cause = "the broker refused the message: its queue is full or cannot store it".into();
        return Err(BrokerError { kind: QueueErrorKind::Full, op: OP, cause });
    }
    if unsure {
        return Err(BrokerError::unavailable(OP, "confirms are off"));
    }
    Ok(())
}

/// The answer while an alarm lasts.
pub(crate) fn blocked() -> BrokerError {
    BrokerError::unavailable(OP, "the broker takes no messages: it is short of memory or disk")
}

fn late(session: &Session) -> BrokerError {
    let error = BrokerError::unavailable(OP, "not confirmed in time");
    // A blocked broker is alive and its consumers are well; any other silence is not worth trusting further.
    if !session.is_blocked() {
        session.fail(error.clone());
    }
    error
}
