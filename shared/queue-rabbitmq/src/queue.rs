//! The queue itself: asks the supervisor for a session and does one thing with it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use n2s_domain::BackendName;
use n2s_queue::{Consumer, Message, Queue, QueueError};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::consumer::RabbitConsumer;
use crate::error::BrokerError;
use crate::options::Options;
use crate::poison::PoisonHandler;
use crate::publisher::publish;
use crate::sentinel::{self, Sentinel};
use crate::session::{Address, Session};
use crate::supervisor::{Sessions, start};

/// A broker's queues; see the crate.
pub struct RabbitQueue {
    options: Options,
    sessions: Sessions,
    /// Ends the supervisor, which closes the connections.
    _shutdown: DropGuard,
}

impl RabbitQueue {
    /// Starts connecting, and goes on trying for as long as the queue lives; only settings that cannot be right fail
    /// here. Messages that came back too often go to `poison`; without it they wait for a process that has one.
    ///
    /// Must be called within a Tokio runtime.
    pub fn start(options: Options, poison: Option<Arc<dyn PoisonHandler>>) -> Result<Self, BrokerError> {
        let address = Address::read(&options)?;
        let shutdown = CancellationToken::new();
        let sessions = start(address, options.clone(), poison, shutdown.clone());
        Ok(Self { options, sessions, _shutdown: shutdown.drop_guard() })
    }

    /// `Ok` when connected, with every consumer in place that was started since, and the broker takes messages.
    pub fn ready(&self) -> Result<(), BrokerError> {
        let session = self.sessions.now()?;
        if session.is_blocked() {
            let why = "the broker takes no messages: it is short of memory or disk";
            return Err(BrokerError::unavailable("publish", why));
        }
        Ok(())
    }

    /// Whether the broker still is the one that [`Self::sentinel_write`] was called on with this id.
    pub async fn sentinel_check(&self, expected: &str) -> Result<Sentinel, BrokerError> {
        sentinel::check(&*self.session().await?, expected).await
    }

    /// Leaves `id` (letters, digits and dashes) with the broker. Only the sweeper's leader may, after the catalog knows it.
    pub async fn sentinel_write(&self, id: &str) -> Result<(), BrokerError> {
        sentinel::write(&*self.session().await?, id).await
    }

    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        self.sessions.current(self.options.answer_timeout).await
    }

    async fn publish_all(
        &self,
        backend: &BackendName,
        messages: &[Message],
    ) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
        let deadline = Instant::now() + self.options.publish_timeout;
        let ready = async {
            let session = self.sessions.current(self.options.publish_timeout).await?;
            session.ensure_declared(backend).await.map(|()| session)
        };
        let late = |_| BrokerError::unavailable("publish", "the broker was not ready in time");
        let session = timeout_at(deadline, ready).await.map_err(late)??;
        Ok(publish(&session, backend, messages, deadline).await)
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, backend: &BackendName, messages: Vec<Message>) -> Vec<Result<(), QueueError>> {
        match self.publish_all(backend, &messages).await {
            Ok(answers) => {
                answers.into_iter().map(|answer| answer.map_err(|error| error.of(backend))).collect()
            }
            Err(error) => messages.iter().map(|_| Err(error.clone().of(backend))).collect(),
        }
    }

    async fn consume(&self, backend: &BackendName, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let start = async {
            let session = self.session().await?;
            RabbitConsumer::start(session, backend, self.options.prefetch(prefetch)).await
        };
        match start.await {
            Ok(consumer) => Ok(Box::new(consumer)),
            Err(error) => Err(error.of(backend)),
        }
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue").field("options", &self.options).finish_non_exhaustive()
    }
}
