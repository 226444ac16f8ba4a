//! The right to run an engine: `engine.lock` of a home with its own catalog; on a server, every office of it.
//!
//! An engine returns all queued and leased jobs to pending when it takes over, and its queue lies in its own memory or is its alone. So there may be
//! one per catalog, wherever the homes lie. Where catalog and queue are both shared, roles are elected one by one instead: see `fleet`.

use std::fs::File;

use n2s_catalog_postgres::{Leadership, Office};

use crate::error::AssemblyError;
use crate::node::Node;
use crate::push_lock::lock;

/// Held while an engine runs; falls free when its process ends in any way.
#[derive(Debug)]
pub(crate) enum Seat {
    /// Of a home.
    Home(#[expect(dead_code, reason = "holding the file holds the lock")] File),
    /// Of a server.
    Server(Leadership),
}

impl Seat {
    /// Takes it; `None` when another process has it.
    pub(crate) async fn take(node: &Node) -> Result<Option<Self>, AssemblyError> {
        let Some(options) = &node.station.server else {
            return Ok(lock(node.home.engine_lock())?.map(Self::Home));
        };
        let mut offices = vec![Office::Sweeper, Office::Folder];
        offices.extend(node.station.stores.iter().map(|store| Office::Dispatcher(store.id)));
        Ok(Leadership::try_take(options, &offices).await?.map(Self::Server))
    }

    /// Whether it is still held. A server frees the seat of a process it has lost.
    pub(crate) async fn holds(&mut self) -> bool {
        match self {
            Self::Home(_) => true,
            Self::Server(offices) => offices.holds().await,
        }
    }

    /// Lets go of it; the next may take it at once.
    pub(crate) async fn resign(self) {
        match self {
            Self::Home(_) => {}
            Self::Server(offices) => offices.resign().await,
        }
    }
}
