//! Offices that one process of a fleet holds at a time: a store's dispatcher, the sweeper, the folder.
//!
//! An office is a session's advisory lock on a connection of its own, so it falls free the moment its holder's connection does,
//! whatever became of the process. Rejected: a row with a lease, which somebody must renew, and which stays held for the rest of the
//! lease after a kill. A holder that the network cut off may not know yet that it is no longer one: two dispatchers or sweepers at once
//! are slow, never wrong, since every transition checks its row.

use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_domain::BackendId;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

use crate::error::{At as _, Fail};
use crate::options::PostgresOptions;

/// Who has heard nothing of the server for so long holds nothing that is of use.
const ANSWER_MAX: Duration = Duration::from_secs(10);

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
        let options = options.connection()?;
        let connect = async { Ok(PgConnection::connect_with(&options).await?) };
        Ok(Self { connection: soon(connect).await.at("stand for an office")? })
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
        soon(self.take(offices)).await.at("ask for an office")
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

    /// Whether they are still held: false once the connection is gone, or the server is silent. Ask before each round of work.
    pub async fn holds(&mut self) -> bool {
        soon(async { Ok(self.connection.ping().await?) }).await.is_ok()
    }

    /// Gives them up, and waits until they are free.
    pub async fn resign(mut self) {
        // The server frees them in any case, but not before it notices that the connection has ended.
        let freed = async {
            sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection).await?;
            Ok(self.connection.close().await?)
        };
        let _ = soon(freed).await;
    }
}

/// None of it waits for anybody's lock.
pub(crate) async fn soon<T>(call: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
    timeout(ANSWER_MAX, call).await.unwrap_or(Err(Fail::Silent(ANSWER_MAX)))
}
