//! Opening the database: a pool, a schema that is known, a clock.
//!
//! Transactions are READ COMMITTED with row locks taken in one order everywhere: dataset, changeset, jobs, blobs, placements, each
//! kind by ascending id. What a lock protects is read by a later statement than the one that locked it. Rejected: SERIALIZABLE, which makes
//! every batch of a busy fleet a candidate for being run twice. Where two transactions lock changesets of others (a retry
//! reopens them) the server may still end one; `transact!` begins it again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_failpoints::{Point, failpoint};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};

use crate::error::{At as _, Fail};
use crate::migrate::{Schema, check};
use crate::options::PostgresOptions;

/// Connections idle for longer are asked whether they still stand before they are used.
const STALE: Duration = Duration::from_secs(1);

/// How long a beginner waits for the server.
const OPENING_MAX: Duration = Duration::from_secs(5);

/// The catalog in one PostgreSQL database.
pub struct PostgresCatalog {
    pool: PgPool,
}

pub(crate) type Tx<'c> = Transaction<'c, Postgres>;

impl PostgresCatalog {
    /// Opens the catalog. Refuses a schema it does not know: an older one says to run `n2s migrate`, a newer one to use the newer n2s.
    pub async fn open(options: &PostgresOptions) -> Result<Self, CatalogError> {
        let pool = PgPoolOptions::new()
            .max_connections(options.pool_size.max(1))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false);
        let (made, taken) = (options.clock_offset.clone(), options.clock_offset.clone());
        let pool = pool
            .after_connect(move |connection, _| {
                let offset = made.clone();
                Box::pin(async move { shift(connection, offset).await })
            })
            .before_acquire(move |connection, meta| {
                let offset = taken.clone();
                Box::pin(async move {
                    if meta.idle_for > STALE {
                        connection.ping().await?;
                    }
                    shift(connection, offset).await.map(|()| true)
                })
            })
            .connect_lazy_with(options.pooled()?);
        if let Some(refusal) = found(options).await?.refusal() {
            return Err(refusal);
        }
        Ok(Self { pool })
    }

    /// Closes every connection.
    pub async fn close(self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A read of several statements that need not agree with each other.
    pub(crate) async fn connection(&self) -> Result<sqlx::pool::PoolConnection<Postgres>, Fail> {
        Ok(self.pool.acquire().await?)
    }

    /// A transaction. Dropped without commit it rolls back.
    ///
    /// Begun on a task of its own, which a caller that is dropped meanwhile does not end: a `begin` cut short in sqlx 0.9.0 gives the pool back a
    /// connection inside a transaction that nobody will commit, and what the next caller is told was written never is.
    pub(crate) async fn begin(&self) -> Result<Tx<'static>, Fail> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await });
        Ok(begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }
}

impl fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCatalog").field("connections", &self.pool.size()).finish_non_exhaustive()
    }
}

/// Commits, between two points where a test may kill the process.
pub(crate) async fn commit(tx: Tx<'_>, done: Point) -> Result<(), Fail> {
    failpoint(Point::CatalogCommitting);
    tx.commit().await?;
    failpoint(done);
    Ok(())
}

/// The schema's version. Asked through a pool of its own, which gives up early: a pool knocks at a closed door for as long as its
/// callers would wait for a busy one, and whoever begins wants to know at once.
async fn found(options: &PostgresOptions) -> Result<Schema, CatalogError> {
    let patience = options.acquire_timeout.min(OPENING_MAX);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience);
    let pool = pool.connect_lazy_with(options.pooled()?);
    let found = match pool.acquire().await.map_err(Fail::from) {
        Ok(mut connection) => check(&mut connection).await,
        Err(fail) => Err(fail),
    };
    pool.close().await;
    found.at("open the catalog")
}

/// Moves the connection's clock to where the test has put it.
async fn shift(connection: &mut PgConnection, offset: Option<Arc<AtomicI64>>) -> Result<(), sqlx::Error> {
    let Some(offset) = offset else { return Ok(()) };
    let text = format!("{} microseconds", offset.load(Ordering::SeqCst));
    sqlx::query("SELECT set_config('n2s.clock_offset', $1, false)").bind(text).execute(connection).await?;
    Ok(())
}
