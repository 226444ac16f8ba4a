//! What is declared at the broker, in the dialect both RabbitMQ 3.10 and 4.x speak: durable exchanges and quorum queues.
//!
//! Declaring again is a success as long as the arguments are the same; a queue keeps those it was born with, and the broker
//! answers 406 to others. Rejected: policies, which need an administrator and can be missing without anybody noticing.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use n2s_domain::BackendName;

use crate::error::{BrokerError, bounded};
use crate::options::Options;

/// The exchange that messages go through.
pub const WORK: &str = "n2s.work";
/// The exchange and the queue of what was delivered too often.
pub const POISON: &str = "n2s.poison";

/// Retries of the poison queue itself: as good as unlimited, since 4.x would drop after 20 if nothing were said.
const POISON_LIMIT: u32 = 1_000_000;

/// The queue of a store.
pub(crate) fn work_queue(backend: &BackendName) -> String {
    format!("{WORK}.{backend}")
}

/// Exchanges, and the queue for poison.
pub(crate) async fn declare_common(channel: &Channel, limit: Duration) -> Result<(), BrokerError> {
    for (name, kind) in [(WORK, ExchangeKind::Direct), (POISON, ExchangeKind::Fanout)] {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declare = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
        bounded("declaring an exchange", limit, declare).await?;
    }
    declare(channel, POISON, quorum(POISON_LIMIT), limit).await?;
    bind(channel, POISON, POISON, "", limit).await
}

/// A store's queue, bound to the exchange.
pub(crate) async fn declare_work(
    channel: &Channel,
    backend: &BackendName,
    options: &Options,
) -> Result<(), BrokerError> {
    let mut arguments = quorum(options.delivery_limit);
    put(&mut arguments, "x-max-length", number(options.length_max));
    put(&mut arguments, "x-overflow", text("reject-publish"));
    put(&mut arguments, "x-dead-letter-exchange", text(POISON));
    put(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    let name = work_queue(backend);
    declare(channel, &name, arguments, options.answer_timeout).await?;
    bind(channel, &name, WORK, backend.as_str(), options.answer_timeout).await
}

/// A durable quorum queue with these arguments.
pub(crate) async fn declare(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
    limit: Duration,
) -> Result<(), BrokerError> {
    let declare = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
    bounded("declaring a queue", limit, declare).await.map(drop)
}

/// The arguments of every quorum queue here.
pub(crate) fn quorum(delivery_limit: u32) -> FieldTable {
    let mut arguments = FieldTable::default();
    put(&mut arguments, "x-queue-type", text("quorum"));
    put(&mut arguments, "x-delivery-limit", number(delivery_limit));
    arguments
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    limit: Duration,
) -> Result<(), BrokerError> {
    let options = QueueBindOptions::default();
    let bind = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default());
    bounded("binding a queue", limit, bind).await
}

fn put(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u32) -> AMQPValue {
    AMQPValue::LongLongInt(value.into())
}
