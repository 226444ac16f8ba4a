//! The queue of one machine: a bounded line per store, inside the process.
//!
//! It dies with the process, and that is no loss: whoever takes the home over returns queued rows to pending. A channel
//! would do but for one thing: what is dropped without an ack must go back to the head of the line, so the line is a
//! deque under a lock that is never held across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::BackendName;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::error::{QueueError, QueueErrorKind};
use crate::message::Message;
use crate::queue::{Consumer, Delivery, Queue, Receipt};

/// See the module.
#[derive(Debug)]
pub struct EmbeddedQueue {
    capacity: usize,
    lines: Mutex<HashMap<BackendName, Arc<Line>>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    arrived: Notify,
}

impl EmbeddedQueue {
    /// A queue whose every line refuses messages beyond `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), lines: Mutex::default() }
    }

    /// Messages that wait in a store's line.
    pub fn waiting(&self, backend: &BackendName) -> usize {
        self.line(backend).lock().len()
    }

    /// Queues bytes that need not be a message, as anybody can who reaches a real broker.
    pub fn publish_bytes(&self, backend: &BackendName, payload: Vec<u8>) -> Result<(), QueueError> {
        let line = self.line(backend);
        let mut waiting = line.lock();
        if waiting.len() >= self.capacity {
            let source = anyhow::anyhow!("{} messages wait in it already", waiting.len());
            let backend = backend.clone();
            return Err(QueueError { kind: QueueErrorKind::Full, op: "publish", backend, source });
        }
        waiting.push_back(payload);
        drop(waiting);
        line.arrived.notify_one();
        Ok(())
    }

    fn line(&self, backend: &BackendName) -> Arc<Line> {
        let mut lines = self.lines.lock().expect("no holder of this lock can panic");
        Arc::clone(lines.entry(backend.clone()).or_default())
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, backend: &BackendName, messages: Vec<Message>) -> Vec<Result<(), QueueError>> {
        messages.iter().map(|message| self.publish_bytes(backend, message.encode())).collect()
    }

    async fn consume(&self, backend: &BackendName, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let permits = Arc::new(Semaphore::new(prefetch.max(1)));
        Ok(Box::new(EmbeddedConsumer { line: self.line(backend), permits }))
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.waiting.lock().expect("no holder of this lock can panic")
    }

    async fn take(self: &Arc<Self>) -> Vec<u8> {
        loop {
            let arrived = self.arrived.notified();
            let taken = {
                let mut waiting = self.lock();
                let taken = waiting.pop_front();
                // One ring may stand for many messages: pass it on to the next consumer.
                if taken.is_some() && !waiting.is_empty() {
                    self.arrived.notify_one();
                }
                taken
            };
            match taken {
                Some(payload) => return payload,
                None => arrived.await,
            }
        }
    }
}

#[derive(Debug)]
struct EmbeddedConsumer {
    line: Arc<Line>,
    /// Prefetch: each delivery holds one until it is acked or dropped.
    permits: Arc<Semaphore>,
}

impl EmbeddedConsumer {
    async fn one(&self) -> Delivery {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("it is never closed");
        let payload = self.line.take().await;
        let receipt =
            EmbeddedReceipt { line: Arc::clone(&self.line), payload: Some(payload.clone()), _permit: permit };
        Delivery::new(payload, Box::new(receipt))
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self, max: usize, gather: Duration) -> Option<Result<Vec<Delivery>, QueueError>> {
        let mut deliveries = vec![self.one().await];
        let until = Instant::now() + gather;
        while deliveries.len() < max {
            match timeout_at(until, self.one()).await {
                Ok(delivery) => deliveries.push(delivery),
                Err(_elapsed) => break,
            }
        }
        Some(Ok(deliveries))
    }
}

#[derive(Debug)]
struct EmbeddedReceipt {
    line: Arc<Line>,
    /// Taken by the ack; whatever is left when this is dropped goes back to the head of the line.
    payload: Option<Vec<u8>>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Receipt for EmbeddedReceipt {
    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        self.payload = None;
        Ok(())
    }
}

impl Drop for EmbeddedReceipt {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.take() {
            self.line.lock().push_front(payload);
            self.line.arrived.notify_one();
        }
    }
}
