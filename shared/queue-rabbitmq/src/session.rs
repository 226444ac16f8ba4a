//! One connected spell of one connection: the topology, and the flag that ends it.
//!
//! Consuming has a connection of its own, because a broker that runs short of memory stops reading from connections that
//! publish, and acks must still get through then. Publishing has one per store: a broker also stops reading from a connection
//! whose queue is slow or has no leader, and that must not hold up the others. Whatever goes wrong ends the spell as a whole.
//! Rejected: repairing the part that failed, which needs to know what else the failure took with it.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Event};
use n2s_domain::BackendName;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::error::{BrokerError, bounded, explain};
use crate::options::Options;
use crate::topology;

const WATCH: &str = "watching the broker";
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the connection's state is looked at, in case an event was missed.
const LOOK: Duration = Duration::from_millis(250);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Messages of one store.
    Publish,
    /// Everything else.
    Consume,
}

impl Role {
    /// Its name in the metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// See the module.
pub(crate) struct Session {
    pub(crate) options: Options,
    connection: Connection,
    /// Where messages go, in the role of publishing.
    pub(crate) publisher: Option<Publisher>,
    declared: Mutex<HashSet<BackendName>>,
    broken: CancellationToken,
    cause: Mutex<Option<BrokerError>>,
}

/// A channel with confirms.
pub(crate) struct Publisher {
    pub(crate) channel: Channel,
    /// One permit per message that waits for its confirmation.
    pub(crate) window: Semaphore,
}

impl Session {
    /// Connects and declares what all stores share.
    pub(crate) async fn open(address: &Address, options: &Options, role: Role) -> Result<Self, BrokerError> {
        let limit = options.answer_timeout;
        let name = if role == Role::Publish { "n2s publish" } else { "n2s consume" };
        let connection = address.connect(name, limit).await?;
        let setup = bounded("opening a channel", limit, connection.create_channel()).await?;
        topology::declare_common(&setup, limit).await?;
        let publisher = if role == Role::Publish {
            let channel = bounded("opening a channel", limit, connection.create_channel()).await?;
            let confirms = channel.confirm_select(ConfirmSelectOptions::default());
            bounded("asking for confirms", limit, confirms).await?;
            Some(Publisher { channel, window: Semaphore::new(options.confirm_window.max(1)) })
        } else {
            None
        };
        Ok(Self {
            options: options.clone(),
            connection,
            publisher,
            declared: Mutex::default(),
            broken: CancellationToken::new(),
            cause: Mutex::default(),
        })
    }

    /// Ends the spell; the first cause is kept.
    pub(crate) fn fail(&self, cause: BrokerError) {
        self.cause.lock().expect("no holder of this lock can panic").get_or_insert(cause);
        self.broken.cancel();
    }

    /// Waits for the end of the spell and says why it came.
    pub(crate) async fn ended(&self) -> BrokerError {
        self.broken.cancelled().await;
        let cause = self.cause.lock().expect("no holder of this lock can panic").clone();
        cause.unwrap_or_else(|| BrokerError::unavailable(WATCH, "closed"))
    }

    /// Watches the connection until the spell ends.
    pub(crate) async fn watch(&self) -> BrokerError {
        let mut events = Box::pin(self.connection.events_listener());
        loop {
            tokio::select! {
                cause = self.ended() => return cause,
                event = events.next() => match event {
                    // Also comes for a channel of its own that was refused something, which ends nothing.
                    Some(Event::Error(error)) if !self.is_alive() => self.fail(explain(WATCH, &error)),
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "the broker takes no messages for now");
                    }
                    Some(Event::ConnectionUnblocked) => tracing::info!("the broker takes messages again"),
                    _ => {}
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            if !self.is_alive() {
                self.fail(self.reason(events.as_mut()).await);
            }
        }
    }

    /// Why it is not alive. What the broker said comes a moment after what it did: as an event, or as the answer of whoever used the channel.
    async fn reason(&self, mut events: Pin<&mut impl Stream<Item = Event>>) -> BrokerError {
        let said = async {
            while let Some(event) = events.next().await {
                if let Event::Error(error) = event {
                    return explain(WATCH, &error);
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            cause = self.ended() => cause,
            cause = said => cause,
            () = tokio::time::sleep(LOOK) => BrokerError::unavailable(WATCH, "a connection or channel closed"),
        }
    }

    /// Whether the connection and the publishing channel stand.
    pub(crate) fn is_alive(&self) -> bool {
        let publishes = |publisher: &Publisher| publisher.channel.status().connected();
        !self.broken.is_cancelled()
            && self.connection.status().connected()
            && self.publisher.as_ref().is_none_or(publishes)
    }

    /// Whether the broker stopped reading what is published, for want of memory or disk.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// A channel of its own for something that may fail: an error closes the channel it happens on.
    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        bounded("opening a channel", self.options.answer_timeout, self.connection.create_channel()).await
    }

    /// Declares a store's queue, once per spell.
    pub(crate) async fn ensure_declared(&self, backend: &BackendName) -> Result<(), BrokerError> {
        if self.declared().contains(backend) {
            return Ok(());
        }
        let channel = self.channel().await?;
        topology::declare_work(&channel, backend, &self.options).await?;
        self.declared().insert(backend.clone());
        Ok(())
    }

    /// Notes that a store's queue is not there after all.
    pub(crate) fn forget_declared(&self, backend: &BackendName) {
        self.declared().remove(backend);
    }

    fn declared(&self) -> MutexGuard<'_, HashSet<BackendName>> {
        self.declared.lock().expect("no holder of this lock can panic")
    }

    /// Says goodbye, for at most a moment; what was not acked goes back.
    pub(crate) async fn close(&self) {
        self.fail(BrokerError::unavailable("using the queue", "it was closed"));
        // One that cannot be said is not missed.
        let _ = tokio::time::timeout(GOODBYE, self.connection.close(200, "OK".into())).await;
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::JobId;
    use n2s_queue::Message;
    use n2s_servers::RabbitMq;
    use tokio::time::{Instant, pause, sleep};

    use super::*;
    use crate::publisher::publish;

    /// One whose channel has closed, and nobody has said why.
    async fn closed() -> Session {
        let options = Options::new(RabbitMq::shared().vhost().url);
        let session =
            Session::open(&Address::read(&options).unwrap(), &options, Role::Publish).await.unwrap();
        session.publisher.as_ref().unwrap().channel.close(200, "OK".into()).await.unwrap();
        assert!(!session.is_alive());
        session
    }

    fn reason() -> BrokerError {
        BrokerError::unavailable("publish", "the broker's reason")
    }

    #[tokio::test]
    async fn a_reason_that_is_heard_after_the_end_was_seen_is_told() {
        let [session, unexplained] = [closed().await, closed().await];
        pause();
        let says = async {
            sleep(LOOK * 3 / 2).await;
            session.fail(reason());
        };
        let (cause, ()) = tokio::join!(session.watch(), says);
        assert_eq!(cause.cause, reason().cause);
        assert_eq!(unexplained.watch().await.cause, "a connection or channel closed");
    }

    #[tokio::test]
    async fn who_publishes_after_the_end_is_told_its_reason_and_is_not_taken_for_it() {
        let [session, unexplained] = [closed().await, closed().await];
        pause();
        let messages = [Message { job: JobId(1), dispatch_seq: 1, traceparent: None }];
        let (store, deadline) = ("a".parse().unwrap(), Instant::now() + LOOK * 10);
        let says = async {
            sleep(LOOK).await;
            session.fail(reason());
        };
        let (answers, ()) = tokio::join!(publish(&session, &store, &messages, deadline), says);
        assert_eq!(answers[0].as_ref().unwrap_err().cause, reason().cause);
        assert_eq!(session.ended().await.cause, reason().cause);
        // However long that takes: nobody waits beyond the deadline.
        let answers = publish(&unexplained, &store, &messages, Instant::now() + LOOK).await;
        assert!(answers[0].as_ref().unwrap_err().cause.contains("in time"), "{answers:?}");
    }
}
