//! The queue itself: asks the supervisor for a session and does one thing with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use n2s_domain::BackendName;
use n2s_queue::{Consumer, Memory, Message, PoisonHandler, Queue, QueueError, Remembers};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address::Address;
use crate::consumer::RabbitConsumer;
use crate::error::BrokerError;
use crate::options::Options;
use crate::publisher::{blocked, publish};
use crate::sentinel;
use crate::session::{Role, Session};
use crate::supervisor::{Sessions, Supervisor};

/// A broker's queues; see the crate.
pub struct RabbitQueue {
    options: Options,
    address: Arc<Address>,
    consuming: Sessions,
    /// Made when a store is first published to: workers publish nothing.
    publishing: Mutex<HashMap<BackendName, Sessions>>,
    /// The supervisors, which close their connections when `shutdown` tells them to.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    shutdown: DropGuard,
}

impl RabbitQueue {
    /// Starts connecting, and goes on trying for as long as the queue lives; only settings that cannot be right fail
    /// here. Messages that came back too often go to `poison`; without it they wait for a process that has one.
    ///
    /// Must be called within a Tokio runtime.
    pub fn start(options: Options, poison: Option<Arc<dyn PoisonHandler>>) -> Result<Self, BrokerError> {
        let address = Arc::new(Address::read(&options)?);
        let shutdown = CancellationToken::new();
        let supervisor = Supervisor {
            address: Arc::clone(&address),
            options: options.clone(),
            role: Role::Consume,
            poison,
        };
        let (consuming, task) = supervisor.start(shutdown.clone());
        Ok(Self {
            options,
            address,
            consuming,
            publishing: Mutex::default(),
            tasks: Mutex::new(vec![task]),
            shutdown: shutdown.drop_guard(),
        })
    }

    /// `Ok` when every connection that was needed so far stands, and the broker takes messages.
    pub fn ready(&self) -> Result<(), BrokerError> {
        self.consuming.now()?;
        for sessions in lock(&self.publishing).values() {
            if sessions.now()?.is_blocked() {
                return Err(blocked());
            }
        }
        Ok(())
    }

    /// Says goodbye to the broker, for at most a moment; what was not acked goes back. The queue answers only errors then.
    pub async fn close(&self) {
        self.shutdown.token().cancel();
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            // One that panicked has been reported by the runtime.
            let _ = task.await;
        }
    }

    /// The connection that carries a store's messages.
    fn publishing(&self, backend: &BackendName) -> Sessions {
        let mut publishing = lock(&self.publishing);
        let sessions = publishing.entry(backend.clone()).or_insert_with(|| {
            let (address, options) = (Arc::clone(&self.address), self.options.clone());
            let supervisor = Supervisor { address, options, role: Role::Publish, poison: None };
            let (sessions, task) = supervisor.start(self.shutdown.token().clone());
            lock(&self.tasks).push(task);
            sessions
        });
        sessions.clone()
    }

    async fn consuming(&self) -> Result<Arc<Session>, BrokerError> {
        self.consuming.current(self.options.answer_timeout).await
    }

    async fn publish_all(
        &self,
        backend: &BackendName,
        messages: &[Message],
    ) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
        let patience = self.options.publish_timeout;
        let session = self.publishing(backend).current(patience).await?;
        if session.is_blocked() {
            return Err(blocked());
        }
        // From here on: a connection that was just made is not to blame for the wait for it.
        let deadline = Instant::now() + patience;
        session.ensure_declared(backend).await?;
        Ok(publish(&session, backend, messages, deadline).await)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of these locks can panic")
}

#[async_trait]
impl Memory for RabbitQueue {
    async fn recall(&self, mark: &str) -> anyhow::Result<Remembers> {
        Ok(sentinel::check(&*self.consuming().await?, mark).await?)
    }

    async fn leave(&self, mark: &str) -> anyhow::Result<()> {
        Ok(sentinel::write(&*self.consuming().await?, mark).await?)
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
            let session = self.consuming().await?;
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
