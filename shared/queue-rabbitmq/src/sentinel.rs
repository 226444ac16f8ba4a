//! The sentinel: a queue that only a broker with its memory intact still has.
//!
//! The id is part of the queue's name, so looking is one passive declaration, which changes nothing and needs no message.
//! Rejected: a message with the id in it. Reading one means taking it and giving it back, each time counts as a delivery,
//! and RabbitMQ 4 throws it away after the twentieth.

use lapin::ErrorKind;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use n2s_queue::Remembers;

use crate::error::{BrokerError, explain};
use crate::session::Session;
use crate::topology::{declare, quorum};

fn name(id: &str) -> Result<String, BrokerError> {
    let fits = (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let wrong = "an id is 1 to 100 letters, digits and dashes";
    if fits { Ok(format!("n2s.sentinel.{id}")) } else { Err(BrokerError::misconfigured("sentinel", wrong)) }
}

pub(crate) async fn check(session: &Session, id: &str) -> Result<Remembers, BrokerError> {
    let channel = session.channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let look = channel.queue_declare(name(id)?.into(), passive, FieldTable::default());
    match tokio::time::timeout(session.options.answer_timeout, look).await {
        Ok(Ok(_)) => Ok(Remembers::All),
        Ok(Err(error)) if is_absent(&error) => Ok(Remembers::Nothing),
        Ok(Err(error)) => Err(explain("sentinel", &error)),
        Err(_elapsed) => Err(BrokerError::unavailable("sentinel", "no answer in time")),
    }
}

pub(crate) async fn write(session: &Session, id: &str) -> Result<(), BrokerError> {
    let channel = session.channel().await?;
    declare(&channel, &name(id)?, quorum(1), session.options.answer_timeout).await
}

fn is_absent(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol)
        if *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}
