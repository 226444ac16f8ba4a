//! The right to run an engine: `engine.lock` of a home with its own catalog; on a server, every office of it.
//!
//! An engine returns all queued and leased jobs to pending when it takes over, and its queue lies in its own memory. So there may be one per catalog,
//! wherever the homes lie, and none beside the dispatchers of a fleet: a push there only writes rows, and the fleet works.

use std::fs::File;

use n2s_catalog_postgres::{Leadership, Office};

use crate::catalog::server;
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
        let Some(options) = server(&node.config.database)? else {
            return Ok(lock(node.home.engine_lock())?.map(Self::Home));
        };
        let mut offices = vec![Office::Sweeper, Office::Folder];
        offices.extend(node.stores.iter().map(|store| Office::Dispatcher(store.id)));
        Ok(Leadership::try_take(&options, &offices).await?.map(Self::Server))
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
