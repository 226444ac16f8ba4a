//! Keeps a session: opens it, waits for its end, pauses, opens the next.

use std::sync::Arc;
use std::time::Duration;

use n2s_queue::{PoisonHandler, QueueErrorKind};
use n2s_telemetry::metrics::families;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::error::BrokerError;
use crate::options::Options;
use crate::poison::attend;
use crate::session::{Role, Session};

/// The pause after a first failure; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// What there is at the moment: a session, or why there is none.
#[derive(Clone)]
pub(crate) enum State {
    /// Nothing was tried yet.
    Starting,
    /// Connected.
    Open(Arc<Session>),
    /// Not connected; the next attempt is under way.
    Down(BrokerError),
}

/// Where callers find the session.
#[derive(Clone)]
pub(crate) struct Sessions(watch::Receiver<State>);

impl Sessions {
    /// The session, waited for at most `limit`. What a person must put right is reported at once.
    pub(crate) async fn current(&self, limit: Duration) -> Result<Arc<Session>, BrokerError> {
        let mut states = self.0.clone();
        let decided = |state: &State| match state {
            State::Starting => false,
            State::Open(session) => session.is_alive(),
            State::Down(error) => error.kind == QueueErrorKind::Misconfigured,
        };
        let _ = tokio::time::timeout(limit, states.wait_for(decided)).await;
        self.now()
    }

    /// The session if it stands now.
    pub(crate) fn now(&self) -> Result<Arc<Session>, BrokerError> {
        let lost = |cause| BrokerError::unavailable("connecting", cause);
        match &*self.0.borrow() {
            State::Open(session) if session.is_alive() => Ok(Arc::clone(session)),
            State::Open(_) => Err(lost("the connection was just lost")),
            State::Starting => Err(lost("not connected yet")),
            State::Down(error) => Err(error.clone()),
        }
    }
}

/// What one connection is kept for.
pub(crate) struct Supervisor {
    pub(crate) address: Arc<Address>,
    pub(crate) options: Options,
    pub(crate) role: Role,
    pub(crate) poison: Option<Arc<dyn PoisonHandler>>,
}

impl Supervisor {
    /// Starts; the task ends with `shutdown`, after the goodbye.
    pub(crate) fn start(self, shutdown: CancellationToken) -> (Sessions, JoinHandle<()>) {
        let (states, receiver) = watch::channel(State::Starting);
        let task = tokio::spawn(self.run(states, shutdown));
        (Sessions(receiver), task)
    }

    async fn run(self, states: watch::Sender<State>, shutdown: CancellationToken) {
        let mut pause = PAUSE;
        let mut told = false;
        loop {
            let started = Instant::now();
            let Some(error) = shutdown.run_until_cancelled(self.spell(&states)).await else { break };
            // An outage is told of once, however long it lasts.
            told &= !matches!(*states.borrow(), State::Open(_));
            if told {
                tracing::debug!(%error, role = ?self.role, "still no connection to the queue's broker");
            } else {
                tracing::warn!(%error, role = ?self.role, "the queue's broker is out of reach; connecting again");
            }
            told = true;
            states.send_replace(State::Down(error));
            // A spell that lasted shows that connecting is worth trying at once.
            pause = if started.elapsed() > self.options.reconnect_max { PAUSE } else { pause * 2 };
            pause = pause.min(self.options.reconnect_max);
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        let last = State::Down(BrokerError::unavailable("using the queue", "it was closed"));
        if let State::Open(session) = states.send_replace(last) {
            session.close().await;
        }
    }

    /// From connecting to the loss of the connection.
    async fn spell(&self, states: &watch::Sender<State>) -> BrokerError {
        let session = match Session::open(&self.address, &self.options, self.role).await {
            Ok(session) => Arc::new(session),
            Err(error) => return error,
        };
        families::BROKER_CONNECTIONS.with([self.role.as_str()]).increment();
        tracing::info!(role = ?self.role, "connected to the queue's broker");
        states.send_replace(State::Open(Arc::clone(&session)));
        let cause = match &self.poison {
            Some(handler) => tokio::select! {
                cause = session.watch() => cause,
                cause = attend(&session, handler.as_ref()) => cause,
            },
            None => session.watch().await,
        };
        session.fail(cause.clone());
        session.close().await;
        cause
    }
}
