//! Keeps a session: opens it, waits for its end, pauses, opens the next.

use std::sync::Arc;
use std::time::Duration;

use n2s_queue::QueueErrorKind;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::BrokerError;
use crate::options::Options;
use crate::poison::{PoisonHandler, attend};
use crate::session::{Address, Session};

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

/// Starts the supervisor; it ends with `shutdown`.
pub(crate) fn start(
    address: Address,
    options: Options,
    poison: Option<Arc<dyn PoisonHandler>>,
    shutdown: CancellationToken,
) -> Sessions {
    let (states, receiver) = watch::channel(State::Starting);
    let supervisor = Supervisor { address, options, poison, states };
    tokio::spawn(supervisor.run(shutdown));
    Sessions(receiver)
}

struct Supervisor {
    address: Address,
    options: Options,
    poison: Option<Arc<dyn PoisonHandler>>,
    states: watch::Sender<State>,
}

impl Supervisor {
    async fn run(self, shutdown: CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let started = Instant::now();
            let Some(error) = shutdown.run_until_cancelled(self.spell()).await else { break };
            tracing::warn!(%error, "the queue's broker is out of reach; connecting again");
            self.states.send_replace(State::Down(error));
            // A spell that lasted shows that connecting is worth trying at once.
            pause = if started.elapsed() > self.options.reconnect_max { PAUSE } else { pause * 2 };
            pause = pause.min(self.options.reconnect_max);
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        let last = State::Down(BrokerError::unavailable("using the queue", "it was closed"));
        if let State::Open(session) = self.states.send_replace(last) {
            session.close().await;
        }
    }

    /// From connecting to the loss of the connection.
    async fn spell(&self) -> BrokerError {
        let session = match Session::open(&self.address, &self.options).await {
            Ok(session) => Arc::new(session),
            Err(error) => return error,
        };
        tracing::info!("connected to the queue's broker");
        self.states.send_replace(State::Open(Arc::clone(&session)));
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
