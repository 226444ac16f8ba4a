//! The HTTP API of a home.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use n2s_config::ApiConfig;
use n2s_intake::http::{Door, Serve, serve, tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::AssemblyError;
use crate::node::Node;

/// A running API.
#[derive(Debug)]
pub struct ApiServer {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    address: SocketAddr,
    tls: bool,
}

impl ApiServer {
    /// Listens and serves, as `[api]` says.
    pub async fn start(node: &Arc<Node>) -> Result<Self, AssemblyError> {
        let door = door(&node.config.api).await?;
        Self::behind(node, door)
    }

    /// Serves behind a door that is open already.
    pub(crate) fn behind(node: &Arc<Node>, door: Door) -> Result<Self, AssemblyError> {
        let config = &node.config.api;
        let failed = |source| AssemblyError::Listen { address: config.address().to_owned(), source };
        let address = door.listener.local_addr().map_err(failed)?;
        let (stop, has_tls) = (CancellationToken::new(), door.tls.is_some());
        let serving = Serve { intake: (*node.intake).clone(), door, in_flight_mib: config.in_flight_mib };
        let task = tokio::spawn(serve(serving, stop.clone()));
        Ok(Self { stop, task, address, tls: has_tls })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Takes no more requests, and waits for those under way, at most for the grace period.
    pub async fn stop(self) {
        self.stop.cancel();
        // A panic has been logged by the runtime; there is nothing left to stop then.
        let _ = self.task.await;
    }
}

/// Listens, as `[api]` says; nobody answers yet.
pub(crate) async fn door(config: &ApiConfig) -> Result<Door, AssemblyError> {
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(tls(cert, key)?),
        _ => None,
    };
    let failed = |source| AssemblyError::Listen { address: config.address().to_owned(), source };
    let listener = Arc::new(TcpListener::bind(config.address()).await.map_err(failed)?);
    let connections = usize::try_from(config.connections_max).unwrap_or(usize::MAX);
    Ok(Door { listener, tls, connections, grace: Duration::from_secs(config.grace_secs) })
}
