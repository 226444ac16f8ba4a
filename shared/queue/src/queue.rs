//! The seam: one queue per store, messages in, deliveries out.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::BackendName;

use crate::error::QueueError;
use crate::message::{InvalidMessage, Message};

/// A queue per store.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Queues messages for a store's workers; one answer per message, in order. A refused message was not queued. One
    /// that was accepted may still be lost with the broker: the job's deadline is what counts.
    async fn publish(&self, backend: &BackendName, messages: Vec<Message>) -> Vec<Result<(), QueueError>>;

    /// Starts consuming a store's queue, holding at most `prefetch` (at least 1) deliveries that are not acked.
    async fn consume(&self, backend: &BackendName, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError>;
}

/// One consumer of one queue.
#[async_trait]
pub trait Consumer: fmt::Debug + Send {
    /// Waits for a delivery, then gathers more for at most `gather`, up to `max` (at least 1) in all.
    ///
    /// `None` or an error ends the consumer: make another. Cancel-safe: what was gathered comes back.
    async fn next(&mut self, max: usize, gather: Duration) -> Option<Result<Vec<Delivery>, QueueError>>;
}

/// A received message. Dropped without [`Delivery::ack`] it is delivered again, to this consumer or another.
#[derive(Debug)]
pub struct Delivery {
    payload: Vec<u8>,
    receipt: Box<dyn Receipt>,
}

impl Delivery {
    /// For implementations of [`Consumer`].
    pub fn new(payload: Vec<u8>, receipt: Box<dyn Receipt>) -> Self {
        Self { payload, receipt }
    }

    /// What it says; anybody who reaches the broker can have written it.
    pub fn message(&self) -> Result<Message, InvalidMessage> {
        Message::decode(&self.payload)
    }

    /// Takes it out of the queue for good.
    pub async fn ack(self) -> Result<(), QueueError> {
        self.receipt.ack().await
    }
}

/// How an implementation gets an acknowledgement; dropping it gives the message back.
#[async_trait]
pub trait Receipt: fmt::Debug + Send + Sync {
    /// See [`Delivery::ack`].
    async fn ack(self: Box<Self>) -> Result<(), QueueError>;
}
