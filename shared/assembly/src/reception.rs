//! An intake before its catalog: it listens, turns everybody away, and says what it waits for.
//!
//! A database that is away at the start is waited for, as by every other role of a fleet: a service manager that started the process again and again
//! would wait no better, and nobody could ask `/readyz` why. The listener is the one that serves afterwards, so its port stays the same and
//! who connects in between is answered a moment later.

use std::sync::Arc;

use n2s_intake::http::Door;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiServer, door};
use crate::check::check;
use crate::error::AssemblyError;
use crate::home::Home;
use crate::node::{Node, load};
use crate::service::{PAUSE, PAUSE_MAX, may_pass};

/// A node, and the door that its API is to serve behind.
#[derive(Debug)]
pub struct Reception {
    /// The node.
    pub node: Arc<Node>,
    door: Option<Door>,
}

impl Reception {
    /// Opens or makes the home, or says at once why that cannot be.
    pub async fn open_now(home: Home) -> Result<Self, AssemblyError> {
        Ok(Self { node: Arc::new(Node::open_or_make(home).await?), door: None })
    }

    /// Opens or makes the home, however long its database's server is away; `None` when `stop` came first.
    pub async fn open(home: Home, stop: CancellationToken) -> Result<Option<Self>, AssemblyError> {
        let error = match Self::open_now(home.clone()).await {
            Ok(opened) => return Ok(Some(opened)),
            Err(error) => error,
        };
        let config = load(&home)?;
        if config.database.url.is_none() || !may_pass(&error) {
            return Err(error);
        }
        check(&home, &config)?;
        let door = door(&config.api).await?;
        if let Ok(address) = door.listener.local_addr() {
            tracing::warn!(api.address = %address, error = n2s_telemetry::report(&error), "waiting for the catalog");
        }
        let (why, told) = watch::channel(words(&error));
        let open = stop.child_token();
        let away = tokio::spawn(door.clone().turn_away(told, open.clone()));
        let node = wait(home, &why, &stop).await;
        open.cancel();
        // A panic has been logged by the runtime.
        let _ = away.await;
        Ok(node?.map(|node| Self { node: Arc::new(node), door: Some(door) }))
    }

    /// Serves the API.
    pub async fn serve(&mut self) -> Result<ApiServer, AssemblyError> {
        match self.door.take() {
            Some(door) => ApiServer::behind(&self.node, door),
            None => ApiServer::start(&self.node).await,
        }
    }
}

async fn wait(
    home: Home,
    why: &watch::Sender<String>,
    stop: &CancellationToken,
) -> Result<Option<Node>, AssemblyError> {
    let mut pause = PAUSE;
    // Never raced against the stop: a database call is not dropped half-way.
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        match Node::open_or_make(home.clone()).await {
            Ok(node) => return Ok(Some(node)),
            Err(error) if may_pass(&error) => drop(why.send_replace(words(&error))),
            Err(error) => return Err(error),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(None)
}

/// For everybody who asks: not the cause, which may name hosts.
fn words(error: &AssemblyError) -> String {
    format!("{error}; waiting for it, the server's log says why")
}
