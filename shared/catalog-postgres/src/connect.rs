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
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;

use crate::error::{At as _, Fail};
use crate::gauges::Gauges;
use crate::link::{Link, Links, Silence};
use crate::migrate::{Schema, check};
use crate::options::PostgresOptions;

/// Connections idle for longer are asked whether they still stand before they are used.
const STALE: Duration = Duration::from_secs(1);

/// How long a beginner waits for the server.
const OPENING_MAX: Duration = Duration::from_secs(5);

/// The catalog in one PostgreSQL database.
pub struct PostgresCatalog {
    links: Links,
    /// How long a call may take.
    patience: Duration,
}

pub(crate) use crate::link::Tx;

impl PostgresCatalog {
    /// Opens the catalog. Refuses a schema it does not know: an older one says to run `n2s migrate`, a newer one to use the newer n2s.
    pub async fn open(options: &PostgresOptions) -> Result<Self, CatalogError> {
        let pool = PgPoolOptions::new()
            .max_connections(options.pool_size.max(1))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false);
        let (made, taken) = (options.clock_offset.clone(), options.clock_offset.clone());
        let silence = Arc::new(Silence::new());
        let asked = Arc::clone(&silence);
        let pool = pool
            .after_connect(move |connection, _| {
                let offset = made.clone();
                Box::pin(async move {
                    watch(connection).await?;
                    shift(connection, offset).await
                })
            })
            .before_acquire(move |connection, meta| {
                let (offset, silence) = (taken.clone(), Arc::clone(&asked));
                Box::pin(async move {
                    if !silence.passes(connection, (meta.age, meta.idle_for > STALE)).await? {
                        return Ok(false);
                    }
                    shift(connection, offset).await.map(|()| true)
                })
            })
            .connect_lazy_with(options.pooled()?);
        if let Some(refusal) = found(options).await?.refusal() {
            return Err(refusal);
        }
        let gauges = Gauges::of(options.pool_name, options.pool_size.max(1));
        Ok(Self { links: Links::new(pool, gauges, silence), patience: options.patience() })
    }

    /// Closes every connection.
    pub async fn close(self) {
        self.links.pool().close().await;
    }

    /// A read of several statements that need not agree with each other.
    pub(crate) async fn link(&self) -> Result<Link, Fail> {
        self.links.link().await
    }

    /// A connection that the pool does not count.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Fail> {
        Ok(PgConnection::connect_with(&self.links.pool().connect_options()).await?)
    }

    /// A transaction. Dropped without commit it rolls back.
    pub(crate) async fn begin(&self) -> Result<Tx, Fail> {
        self.links.begin("BEGIN").await
    }

    /// A transaction that sees one state of everything and changes none of it.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx, Fail> {
        self.links.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// The inside of a method, which ends within this catalog's patience.
    pub(crate) async fn bounded<T>(&self, call: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
        self.links.within(self.patience, call).await
    }

    /// See [`Links::unheard`].
    pub(crate) fn unheard(&self, patience: Duration) -> Fail {
        self.links.unheard(patience)
    }
}

impl fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCatalog")
            .field("connections", &self.links.pool().size())
            .finish_non_exhaustive()
    }
}

/// Commits, between two points where a test may kill the process.
pub(crate) async fn commit(tx: Tx, done: Point) -> Result<(), Fail> {
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
        // Not given back, which might have to wait as well.
        Ok(connection) => {
            let mut connection = connection.detach();
            let asked = timeout(patience, check(&mut connection)).await;
            asked.unwrap_or(Err(Fail::Silent(patience)))
        }
        Err(fail) => Err(fail),
    };
    found.at("open the catalog")
}

/// Has the server look, while it works for us, whether we are still there. Else it would not notice before it answers: what a call that was dropped had
/// asked for would go on, holding its locks, beside whatever asks next on a new connection.
async fn watch(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match connection.execute("SET client_connection_check_interval = '5s'").await {
        // It runs on a system that cannot tell: what is long ends at its time.
        Err(error) if error.as_database_error().is_some() => Ok(()),
        set => set.map(drop),
    }
}

/// Moves the connection's clock to where the test has put it.
async fn shift(connection: &mut PgConnection, offset: Option<Arc<AtomicI64>>) -> Result<(), sqlx::Error> {
    let Some(offset) = offset else { return Ok(()) };
    let text = format!("{} microseconds", offset.load(Ordering::SeqCst));
    sqlx::query("SELECT set_config('n2s.clock_offset', $1, false)").bind(text).execute(connection).await?;
    Ok(())
}
