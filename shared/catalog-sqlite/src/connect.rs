//! Opening the file: connections, migrations, time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_domain::{Clock, Entropy};
use n2s_failpoints::{Point, failpoint};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{At as _, Fail};

/// Every migration, in order. Never edit one that has been released: expand, then contract.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_catalog.sql"),
    include_str!("../../../migrations/sqlite/0002_validation.sql"),
    include_str!("../../../migrations/sqlite/0003_api_tokens.sql"),
    include_str!("../../../migrations/sqlite/0004_lanes.sql"),
];

/// Pages of write-ahead log, 16 MiB, before it is folded into the file: what a push changes, it changes again a moment later, and
/// each folding writes it once more and waits for the disk.
const LOG_PAGES: &str = "4096";

/// How long a writer waits for another process's transaction.
const BUSY: Duration = Duration::from_mins(1);

/// Rows that the thread of a connection reads ahead of who asked for them: a page of a tree, so that it does not stop for each.
const ROWS_AHEAD: usize = 4_096;

/// The catalog in one SQLite file.
#[derive(Debug)]
pub struct SqliteCatalog {
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
    clock: Arc<dyn Clock>,
}

pub(crate) type Tx<'c> = Transaction<'c, Sqlite>;

impl SqliteCatalog {
    /// Opens the catalog at `path`, making or migrating it. Refuses one that a newer n2s has migrated.
    pub async fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CatalogError> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("wal_autocheckpoint", LOG_PAGES)
            .pragma("cache_size", "-8192")
            .pragma("temp_store", "MEMORY");
        Self::connect(options, clock, entropy).await.at("open the catalog")
    }

    async fn connect(
        options: SqliteConnectOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Fail> {
        let mut writer = SqliteConnection::connect_with(&options).await?;
        migrate(&mut writer, &*clock, &*entropy).await?;
        let options = options.pragma("cache_size", "-2048");
        let readers = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options);
        Ok(Self { writer: Mutex::new(writer), readers, clock })
    }

    /// Closes every connection, so that the write-ahead log is folded into the file.
    pub async fn close(self) {
        self.readers.close().await;
        // A failure to close leaves the log, which the next opening reads.
        let _ = self.writer.into_inner().close().await;
    }

    /// The catalog's clock.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_micros()
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(crate) async fn writer(&self) -> MutexGuard<'_, SqliteConnection> {
        self.writer.lock().await
    }
}

/// A write transaction. Dropped without commit it rolls back.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Tx<'_>, Fail> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// The file holds names: it is made for its owner alone.
fn make_private(path: &Path) -> Result<(), CatalogError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let place = path.display().to_string();
    made.map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
            CatalogError::ReadOnly { place }
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => CatalogError::Full { place },
        _ => CatalogError::Database { op: "make the catalog's file", source: error.into() },
    })
}

/// Commits, between two points where a test may kill the process.
pub(crate) async fn commit(tx: Tx<'_>, done: Point) -> Result<(), Fail> {
    failpoint(Point::CatalogCommitting);
    tx.commit().await?;
    failpoint(done);
    Ok(())
}

async fn migrate(
    connection: &mut SqliteConnection,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(), Fail> {
    let mut tx = begin(connection).await?;
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *tx).await?.try_get(0)?;
    let known = i64::try_from(MIGRATIONS.len()).expect("migrations are few");
    if found > known {
        let advice = "use the newer n2s that wrote it";
        return Err(CatalogError::Schema { found, known, advice }.into());
    }
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    if found == 0 {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let id = uuid::Builder::from_random_bytes(id).into_uuid();
        sqlx::query("INSERT INTO catalog (one, catalog_id, created_at) VALUES (1, ?, ?)")
            .bind(id.as_bytes().to_vec())
            .bind(clock.now().as_micros())
            .execute(&mut *tx)
            .await?;
    }
    if found < known {
        // PRAGMA takes no parameters; a number needs no quoting.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}")))
            .execute(&mut *tx)
            .await?;
    }
    failpoint(Point::CatalogMigrating);
    Ok(tx.commit().await?)
}
