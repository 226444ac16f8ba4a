//! One connected spell: two connections, the topology, and the flag that ends it.
//!
//! Publishing and consuming have a connection each, because a broker that runs short of memory stops reading from
//! connections that publish, and acks must still get through then. Whatever goes wrong on either ends the spell as a
//! whole. Rejected: repairing the part that failed, which needs to know what else the failure took with it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use n2s_domain::BackendName;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::error::{BrokerError, bounded, explain};
use crate::options::Options;
use crate::topology;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the connections' state is looked at, in case an event was missed.
const LOOK: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct Session {
    pub(crate) options: Options,
    publishing: Connection,
    consuming: Connection,
    /// Confirms are on.
    pub(crate) publisher: Channel,
    /// One permit per message that waits for its confirmation.
    pub(crate) window: Semaphore,
    declared: Mutex<HashSet<BackendName>>,
    broken: CancellationToken,
    cause: Mutex<Option<BrokerError>>,
}

/// How to connect, read once.
pub(crate) struct Address {
    uri: AMQPUri,
    ca: Option<String>,
}

impl Address {
    /// Reads the URL and the certificates; no error repeats the URL.
    pub(crate) fn read(options: &Options) -> Result<Self, BrokerError> {
        let bad = |what: String| BrokerError::misconfigured("reading the queue's settings", what);
        let mut uri: AMQPUri = options
            .url
            .parse()
            .map_err(|_| bad("the url is not of the form amqp[s]://user:password@host:port/vhost".into()))?;
        uri.query.heartbeat = Some(u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1));
        let read = |path| std::fs::read_to_string(path).map_err(|error| (path, error));
        let ca = options.tls_ca.as_ref().map(read).transpose();
        let ca = ca.map_err(|(path, error)| bad(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Self { uri, ca })
    }

    async fn connect(&self, name: &str, limit: Duration) -> Result<Connection, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.ca.clone() };
        let runtime = lapin::runtime::default_runtime();
        let runtime = runtime.map_err(|error| explain("connecting", &error))?;
        let connect = Connection::connect_uri_with_config(self.uri.clone(), properties, tls, runtime);
        bounded("connecting", limit, connect).await
    }
}

impl Session {
    /// Connects twice and declares what all stores share.
    pub(crate) async fn open(address: &Address, options: &Options) -> Result<Self, BrokerError> {
        let limit = options.answer_timeout;
        let publishing = address.connect("n2s publish", limit).await?;
        let consuming = address.connect("n2s consume", limit).await?;
        let publisher = bounded("opening a channel", limit, publishing.create_channel()).await?;
        let confirms = publisher.confirm_select(lapin::options::ConfirmSelectOptions::default());
        bounded("asking for confirms", limit, confirms).await?;
        let setup = bounded("opening a channel", limit, consuming.create_channel()).await?;
        topology::declare_common(&setup, limit).await?;
        Ok(Self {
            options: options.clone(),
            publishing,
            consuming,
            publisher,
            window: Semaphore::new(options.confirm_window.max(1)),
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
        cause.unwrap_or_else(|| BrokerError::unavailable("watching the broker", "closed"))
    }

    /// Watches both connections until the spell ends.
    pub(crate) async fn watch(&self) -> BrokerError {
        let mut events = Box::pin(futures_util::stream::select(
            self.publishing.events_listener(),
            self.consuming.events_listener(),
        ));
        loop {
            tokio::select! {
                cause = self.ended() => return cause,
                event = events.next() => match event {
                    // Also comes for a channel of its own that was refused something, which ends nothing.
                    Some(Event::Error(error)) if !self.is_alive() => {
                        self.fail(explain("watching the broker", &error));
                    }
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "the broker takes no messages for now");
                    }
                    Some(Event::ConnectionUnblocked) => tracing::info!("the broker takes messages again"),
                    _ => {}
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            if !self.is_alive() {
                self.fail(BrokerError::unavailable("watching the broker", "a connection or channel closed"));
            }
        }
    }

    /// Whether both connections and the publishing channel stand.
    pub(crate) fn is_alive(&self) -> bool {
        let connected = |connection: &Connection| connection.status().connected();
        !self.broken.is_cancelled()
            && connected(&self.publishing)
            && connected(&self.consuming)
            && self.publisher.status().connected()
    }

    /// Whether the broker stopped reading what is published, for want of memory or disk.
    pub(crate) fn is_blocked(&self) -> bool {
        self.publishing.status().blocked()
    }

    /// A channel of its own for something that may fail: an error closes the channel it happens on.
    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        bounded("opening a channel", self.options.answer_timeout, self.consuming.create_channel()).await
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
        tokio::join!(goodbye(&self.publishing), goodbye(&self.consuming));
    }
}

async fn goodbye(connection: &Connection) {
    // One that cannot be said is not missed.
    let _ = tokio::time::timeout(GOODBYE, connection.close(200, "OK".into())).await;
}
