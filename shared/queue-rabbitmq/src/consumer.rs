//! One consumer of a store's queue, on a channel of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use n2s_domain::BackendName;
use n2s_queue::{Consumer, Delivery, QueueError, Receipt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{BrokerError, bounded, explain};
use crate::session::Session;
use crate::settler::{Settle, settle};

const OP: &str = "consume";
/// How long a delivery may take that is on its way.
const LATE: Duration = Duration::from_secs(1);

/// See the module. It ends with its session, and when the broker forgot it, which happens when a queue changes its leader: whoever consumes makes another.
pub(crate) struct RabbitConsumer {
    session: Arc<Session>,
    backend: BackendName,
    deliveries: lapin::Consumer,
    channel: lapin::Channel,
    orders: mpsc::UnboundedSender<Settle>,
    /// When the last delivery came, or the queue was found empty.
    heard: Instant,
    /// One share for each delivery that is not settled, and one here.
    held: Arc<()>,
    /// Received by a `next` that was dropped half-way; the following one returns it.
    gathered: Vec<Delivery>,
}

/// A stream of a queue's deliveries with `prefetch`, and its channel.
pub(crate) async fn subscribe(
    session: &Arc<Session>,
    queue: &str,
    prefetch: u16,
) -> Result<(lapin::Channel, lapin::Consumer), BrokerError> {
    let limit = session.options.answer_timeout;
    let channel = session.channel().await?;
    bounded(OP, limit, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let options = BasicConsumeOptions::default();
    let mut asked = Asked { session: Arc::clone(session), channel: Some(channel.clone()) };
    let consume = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let consumer = bounded(OP, limit, consume).await?;
    asked.channel = None;
    Ok((channel, consumer))
}

/// A channel on which a consumer was asked for. A broker that is slow makes it long after nobody waits for it any more, and would send it
/// messages that nobody reads: whoever gives up closes the channel, which is done after what was asked before, however late.
struct Asked {
    session: Arc<Session>,
    /// Taken by whoever got the consumer.
    channel: Option<lapin::Channel>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let (Some(channel), Ok(runtime)) = (self.channel.take(), Handle::try_current()) else { return };
        let session = Arc::clone(&self.session);
        runtime.spawn(async move {
            tokio::select! {
                // Refused where the broker closed it with what it had to say.
                _ = channel.close(200, "OK".into()) => {}
                _ = session.ended() => {}
            }
        });
    }
}

/// The next delivery. An error, a cancelled consumer or the end of the session ends the session.
pub(crate) async fn receive(
    session: &Session,
    deliveries: &mut lapin::Consumer,
) -> Result<lapin::message::Delivery, BrokerError> {
    let received = tokio::select! {
        received = deliveries.next() => received,
        cause = session.ended() => return Err(cause),
    };
    let error = match received {
        Some(Ok(delivery)) => return Ok(delivery),
        Some(Err(error)) => explain(OP, &error),
        None => BrokerError::unavailable(OP, "the broker cancelled the consumer; was its queue deleted?"),
    };
    session.fail(error.clone());
    Err(error)
}

impl RabbitConsumer {
    /// Declares the queue if need be and starts to receive.
    pub(crate) async fn start(
        session: Arc<Session>,
        backend: &BackendName,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        session.ensure_declared(backend).await?;
        let queue = crate::topology::work_queue(backend);
        let subscribed = subscribe(&session, &queue, prefetch).await;
        let (channel, deliveries) = subscribed.inspect_err(|_| session.forget_declared(backend))?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (settling, settled, outlived) = (Arc::clone(&session), channel.clone(), deliveries.clone());
        tokio::spawn(async move {
            settle(&settling, &settled, receiver).await;
            // Dropping the last of a consumer cancels it. Said on a channel that was just closed, that costs the connection.
            drop(outlived);
        });
        let (backend, held, gathered) = (backend.clone(), Arc::new(()), Vec::new());
        Ok(Self { session, backend, deliveries, channel, orders, heard: Instant::now(), held, gathered })
    }

    /// Waits for a delivery, however long it takes, as long as none is there to be had.
    async fn receive(&mut self) -> Result<lapin::message::Delivery, BrokerError> {
        loop {
            let suspicious = self.heard + self.session.options.silence;
            let received = timeout_at(suspicious, receive(&self.session, &mut self.deliveries)).await;
            self.heard = Instant::now();
            if let Ok(received) = received {
                return received;
            }
            // What is held may fill the prefetch: then nothing comes, and rightly.
            if Arc::strong_count(&self.held) > 1 || self.waiting().await? == 0 {
                continue;
            }
            // It may have come in this moment.
            let late = timeout(LATE, receive(&self.session, &mut self.deliveries)).await;
            let why = "messages wait, and the broker delivers none to this consumer";
            return late.unwrap_or_else(|_elapsed| Err(BrokerError::unavailable(OP, why)));
        }
    }

    /// Messages in the queue that nobody holds. An error also when the queue is gone: the next consumer declares it.
    async fn waiting(&self) -> Result<u32, BrokerError> {
        let queue = crate::topology::work_queue(&self.backend);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let look = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        let limit = self.session.options.answer_timeout;
        let queue =
            bounded(OP, limit, look).await.inspect_err(|_| self.session.forget_declared(&self.backend))?;
        Ok(queue.message_count())
    }

    async fn gather(&mut self) -> Result<(), BrokerError> {
        let received = self.receive().await?;
        let (orders, held) = (self.orders.clone(), Arc::clone(&self.held));
        let receipt = RabbitReceipt { tag: received.delivery_tag, orders: Some(orders), _held: held };
        self.gathered.push(Delivery::new(received.data, Box::new(receipt)));
        Ok(())
    }

    async fn batch(&mut self, max: usize, gather: Duration) -> Result<Vec<Delivery>, BrokerError> {
        if self.gathered.is_empty() {
            self.gather().await?;
        }
        let until = Instant::now() + gather;
        while self.gathered.len() < max {
            match timeout_at(until, self.gather()).await {
                Ok(Ok(())) => {}
                // What was received belongs to a channel that is gone: it comes again.
                Ok(Err(error)) => return Err(error),
                Err(_elapsed) => break,
            }
        }
        let rest = self.gathered.split_off(max.max(1).min(self.gathered.len()));
        Ok(std::mem::replace(&mut self.gathered, rest))
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self, max: usize, gather: Duration) -> Option<Result<Vec<Delivery>, QueueError>> {
        let batch = self.batch(max, gather).await;
        Some(batch.map_err(|error| error.of(&self.backend)))
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        // The settler is gone when the session is, and then there is nothing to close.
        let _ = self.orders.send(Settle::Close);
    }
}

impl fmt::Debug for RabbitConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConsumer").field("backend", &self.backend).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct RabbitReceipt {
    tag: u64,
    /// Tells the consumer that something is held.
    _held: Arc<()>,
    /// Taken by the ack; a receipt dropped with it gives the message back.
    orders: Option<mpsc::UnboundedSender<Settle>>,
}

#[async_trait]
impl Receipt for RabbitReceipt {
    /// Acks are not answered by a broker. One for a channel that is gone is ignored: the message comes again and is
    /// stale then.
    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        if let Some(orders) = self.orders.take()
            && orders.send(Settle::Ack(self.tag)).is_err()
        {
            tracing::debug!("an ack came after its channel; the message comes again");
        }
        Ok(())
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.take() {
            let _ = orders.send(Settle::Return(self.tag));
        }
    }
}
