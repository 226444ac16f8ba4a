//! Listening, and ending well.
//!
//! A loop of our own over hyper instead of `axum::serve`: connections are counted before they are accepted, a client that sends its
//! request line by the minute is let go, and after the grace period what still runs is cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::taken::Taken;
use super::{Api, health, router};
use crate::Intake;

/// A request's head, or a TLS handshake, arrives within this long.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// After an error of the listener, such as no free file descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a server is made of.
#[derive(Debug)]
pub struct Serve {
    /// What answers.
    pub intake: Intake,
    /// Where it listens.
    pub door: Door,
    /// MiB of bodies, in either direction, that are in memory at once.
    pub in_flight_mib: u32,
}

/// Where an API listens, and how. Clones share the socket.
#[derive(Clone, Debug)]
pub struct Door {
    /// The socket.
    pub listener: Arc<TcpListener>,
    /// `None` is plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once; more wait.
    pub connections: usize,
    /// How long requests that are under way may take to end.
    pub grace: Duration,
}

/// Serves until `stop`: then takes no more connections, lets requests end, for at most the grace period, and returns.
pub async fn serve(serve: Serve, stop: CancellationToken) {
    let api = Api::new(serve.intake, serve.in_flight_mib);
    serve.door.serve(router(&api), stop, || api.drain()).await;
}

impl Door {
    /// Answers every request but `/healthz` with 503 and what `why` holds at that moment, until `stop`: for an intake that waits for what it needs.
    pub async fn turn_away(self, why: watch::Receiver<String>, stop: CancellationToken) {
        self.serve(health::turning_away(why), stop, || ()).await;
    }

    async fn serve(self, app: Router, stop: CancellationToken, draining: impl FnOnce()) {
        let Self { listener, tls, connections, grace } = self;
        let acceptor = tls.map(TlsAcceptor::from);
        let permits = Arc::new(Semaphore::new(connections));
        let graceful = GracefulShutdown::new();
        let cut = CancellationToken::new();
        loop {
            let permit = Arc::clone(&permits).acquire_owned();
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async { (permit.await, listener.accept().await) } => accepted,
            };
            match accepted {
                (Ok(permit), Ok((stream, _))) => {
                    let connection = Connection {
                        app: app.clone(),
                        watcher: graceful.watcher(),
                        cut: cut.clone(),
                        permit,
                    };
                    tokio::spawn(connection.run(stream, acceptor.clone()));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
                (Err(_), _) => break,
            }
        }
        draining();
        drop(listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way after the grace period and are cut off");
        }
        cut.cancel();
    }
}

struct Connection {
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
    cut: CancellationToken,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // Answers are small and awaited: waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return self.talk(stream).await };
        match tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.talk(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = TowerToHyperService::new(self.app);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(Taken::new(stream)), service);
        tokio::select! {
            ended = self.watcher.watch(connection) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            () = self.cut.cancelled() => {}
        }
        drop(self.permit);
    }
}
