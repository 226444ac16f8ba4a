//! What a connection to the catalog is made with.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use n2s_catalog::CatalogError;
use sqlx::postgres::PgConnectOptions;

/// Where the catalog is, and how patient its connections are. TLS is the URL's `sslmode` (`verify-full` for a network that is not
/// one's own) with `sslrootcert` for a private authority.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host/database?sslmode=…`.
    pub url: String,
    /// The password, where the URL has none.
    pub password: Option<String>,
    /// Connections of this process at most.
    pub pool_size: u32,
    /// How long a call waits for one of them.
    pub acquire_timeout: Duration,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// The longest a statement waits for a lock.
    pub lock_timeout: Duration,
    /// The longest a transaction may sit between statements before the server ends it and frees its locks.
    pub idle_in_transaction_timeout: Duration,
    /// What the server's list of connections shows.
    pub application_name: String,
    /// Tests only: microseconds by which `n2s_now()` is ahead of the server's clock. `None` costs nothing.
    pub clock_offset: Option<Arc<AtomicI64>>,
}

impl PostgresOptions {
    /// The defaults for `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            pool_size: 10,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_mins(1),
            lock_timeout: Duration::from_secs(20),
            idle_in_transaction_timeout: Duration::from_mins(1),
            application_name: "n2s".to_owned(),
            clock_offset: None,
        }
    }

    /// The connection's own part, without timeouts: for migrations and offices, which may take long.
    pub(crate) fn connection(&self) -> Result<PgConnectOptions, CatalogError> {
        // The driver's error may quote what it could not read, which may be a password.
        let parsed = PgConnectOptions::from_str(&self.url).map_err(|_| CatalogError::Database {
            op: "read its own address",
            source: anyhow::anyhow!(
                "the database's URL is not of the form postgres://user:password@host:port/database?sslmode=…"
            ),
        })?;
        let parsed = match &self.password {
            Some(password) => parsed.password(password),
            None => parsed,
        };
        Ok(parsed
            .application_name(&self.application_name)
            .options([("default_transaction_isolation", "read committed")]))
    }

    /// A pool's connections. How a statement is done is thought out once and kept, where that costs no more than doing so each time: a small batch
    /// is planned for longer than it takes. A plan that was made while a table was small would stay, and read all of the table when it is large:
    /// hence no plan reads all of a table, unless there is no other way ([`crate::audit`] has its own say). Rejected:
    /// `force_custom_plan`, which took half of the server's time when jobs come a few at a time.
    pub(crate) fn pooled(&self) -> Result<PgConnectOptions, CatalogError> {
        let millis = |time: Duration| time.as_millis().min(i32::MAX as u128).to_string();
        Ok(self.connection()?.statement_cache_capacity(256).options([
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(self.idle_in_transaction_timeout)),
            ("enable_seqscan", "off".to_owned()),
            // What is looked for is in memory or on a disk without a head: else a batch's few hundred rows would be looked for by
            // reading all of a table that is a queue, and whose statistics are always out of date.
            ("random_page_cost", "1.1".to_owned()),
            // A plain scan of an index marks the entries of rows that are gone, and the next one passes over them; a bitmap's never does, and
            // a queue's index is mostly such entries until it is vacuumed.
            ("enable_bitmapscan", "off".to_owned()),
            // Compiling a plan costs more than any of ours takes.
            ("jit", "off".to_owned()),
        ]))
    }
}

/// The URL holds a password: it is not shown.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("pool_size", &self.pool_size)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("idle_in_transaction_timeout", &self.idle_in_transaction_timeout)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}
