//! Offices that one process of a fleet holds at a time: a store's dispatcher, the sweeper, the folder.
//!
//! An office is a session's advisory lock on a connection of its own, so it falls free the moment its holder's connection does,
//! whatever became of the process. Rejected: a row with a lease, which somebody must renew, and which stays held for the rest of the
//! lease after a kill. A holder that the network cut off may not know yet that it is no longer one: two dispatchers or sweepers at once
//! are slow, never wrong, since every transition checks its row.

use n2s_catalog::CatalogError;
use n2s_domain::BackendId;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::error::{At as _, Fail};
use crate::options::PostgresOptions;

/// An office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Office {
    /// Dispatches a store's jobs.
    Dispatcher(BackendId),
    /// Sweeps jobs, pushes and staging, and keeps the sentinel queue.
    Sweeper,
    /// Folds completions.
    Folder,
}

impl Office {
    /// "n2s", the kind, and 32 bits of the store's id.
    const fn key(self) -> i64 {
        const N2S: i64 = 0x6e32_7300_0000_0000;
        match self {
            Self::Dispatcher(backend) => N2S | (2 << 32) | (backend.0 & 0xffff_ffff),
            Self::Sweeper => N2S | (3 << 32),
            Self::Folder => N2S | (4 << 32),
        }
    }
}

/// Offices held, and the connection that holds them. Dropping it gives them up.
#[derive(Debug)]
pub struct Leadership {
    connection: PgConnection,
}

impl Leadership {
    /// Opens a connection that can hold offices and holds none.
    pub async fn stand(options: &PostgresOptions) -> Result<Self, CatalogError> {
        // Half a minute without an answer from the holder's host frees the office.
        let keep =
            [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "4")];
        let connect = options.connection()?.options(keep);
        let connection = PgConnection::connect_with(&connect).await.map_err(Fail::from);
        Ok(Self { connection: connection.at("stand for an office")? })
    }

    /// Takes the offices if nobody holds any of them; opens a connection for it either way, so ask every few seconds, not in a loop.
    pub async fn try_take(
        options: &PostgresOptions,
        offices: &[Office],
    ) -> Result<Option<Self>, CatalogError> {
        let mut standing = Self::stand(options).await?;
        if standing.take_free(offices).await?.len() == offices.len() {
            return Ok(Some(standing));
        }
        standing.resign().await;
        Ok(None)
    }

    /// Takes those of the offices that nobody holds, and answers which. Do not ask for one that is held here: it would be taken twice.
    pub async fn take_free(&mut self, offices: &[Office]) -> Result<Vec<Office>, CatalogError> {
        self.take(offices).await.at("ask for an office")
    }

    async fn take(&mut self, offices: &[Office]) -> Result<Vec<Office>, Fail> {
        let mut taken = Vec::new();
        for office in offices {
            let row = sqlx::query("SELECT pg_try_advisory_lock($1) AS taken").bind(office.key());
            if row.fetch_one(&mut self.connection).await?.try_get::<bool, _>("taken")? {
                taken.push(*office);
            }
        }
        Ok(taken)
    }

    /// Whether they are still held: false once the connection is gone. Ask before each round of work.
    pub async fn holds(&mut self) -> bool {
        self.connection.ping().await.is_ok()
    }

    /// Gives them up, and waits until they are free.
    pub async fn resign(mut self) {
        // The server frees them in any case, but not before it notices that the connection has ended.
        let _ = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection).await;
        let _ = self.connection.close().await;
    }
}
