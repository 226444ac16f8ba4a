//! The driver's errors, mapped once, and transactions that the server chose to end.

use std::time::Duration;

use n2s_catalog::CatalogError;

/// How often a transaction is begun after a deadlock or a serialization failure, at most.
const CONFLICTS_MAX: u32 = 8;

/// How often one is begun that waits for a lock in vain, at most. Who holds a lock that long was stopped in the middle, or hangs, and the
/// server ends it after `idle_in_transaction_timeout`: by their defaults this is a little longer.
const WAITS_MAX: u32 = 4;

/// What a method's inside returns: its own refusal, or the driver's error, which [`Fail::at`] gives its place.
#[derive(Debug)]
pub(crate) enum Fail {
    Catalog(CatalogError),
    Sql(sqlx::Error),
    /// Nothing was heard of the server for so long.
    Silent(Duration),
}

impl From<CatalogError> for Fail {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<sqlx::Error> for Fail {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fail {
    /// The five characters of SQLSTATE.
    pub(crate) fn code(&self) -> Option<String> {
        let Self::Sql(error) = self else { return None };
        Some(error.as_database_error()?.code()?.into_owned())
    }

    /// Whether the server rolled the transaction back for the sake of another one, and it may be begun once more after so many times:
    /// that is safe, nothing of it stayed.
    pub(crate) fn gave_way(&self, times: u32) -> bool {
        match self.code().as_deref() {
            Some("40P01" | "40001") => times < CONFLICTS_MAX,
            Some("55P03") => times < WAITS_MAX,
            _ => false,
        }
    }

    /// The error of a method that was to `op`.
    pub(crate) fn at(self, op: &'static str) -> CatalogError {
        let code = self.code();
        let error = match self {
            Self::Catalog(error) => return error,
            Self::Silent(patience) => {
                let source = anyhow::anyhow!(
                    "the database did not answer within {} s: it, or the way to it, is down, or it is far too slow; the connection was given up",
                    patience.as_secs()
                );
                return CatalogError::Away { op, source };
            }
            Self::Sql(error) => error,
        };
        let place = "the catalog's server".to_owned();
        match code.as_deref() {
            Some("53100") => CatalogError::Full { place },
            Some("25006") => CatalogError::ReadOnly { place },
            code if is_away(&error, code) => CatalogError::Away { op, source: error.into() },
            _ => CatalogError::Database { op, source: error.into() },
        }
    }
}

/// Whether the server is at fault and not the statement: no connection (08), shutting down, crashed or not up yet (57P), short of connections,
/// memory or anything but disk (53), or so busy that a statement (57014), a lock (55P03) or a pause in a transaction (25P03) took too long, or that
/// others went first however often it was tried (40001, 40P01).
fn is_away(error: &sqlx::Error, code: Option<&str>) -> bool {
    let lost = matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
    );
    lost || code.is_some_and(|code| {
        let class = ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
        class || matches!(code, "57014" | "55P03" | "25P03" | "40001" | "40P01")
    })
}

/// Wraps the inside of a trait method.
pub(crate) trait At<T> {
    fn at(self, op: &'static str) -> Result<T, CatalogError>;
}

impl<T> At<T> for Result<T, Fail> {
    fn at(self, op: &'static str) -> Result<T, CatalogError> {
        self.map_err(|fail| fail.at(op))
    }
}

/// Awaits the inside of a trait method, for as long as the catalog's patience lasts, and counts how long that took. What it began is rolled back
/// if that was too long; whether a commit was done then, nobody knows.
macro_rules! ask {
    ($catalog:expr, $op:literal, $call:expr) => {
        $crate::error::At::at(n2s_catalog::timed!($op, $catalog.bounded($call)), $op)
    };
}
pub(crate) use ask;

/// The same for a transaction, which is run again when the server ended it for another's sake. A macro, because a closure's future cannot be promised
/// to be `Send`.
macro_rules! transact {
    ($catalog:expr, $op:literal, $call:expr) => {{
        let call = async {
            let mut attempt = 1u32;
            loop {
                match $catalog.bounded($call).await {
                    Err(fail) if fail.gave_way(attempt) => {
                        tracing::debug!(
                            op = $op,
                            attempt,
                            "a transaction gave way to another and begins again"
                        );
                        tokio::time::sleep(std::time::Duration::from_millis(1 << attempt)).await;
                        attempt += 1;
                    }
                    answer => break answer,
                }
            }
        };
        $crate::error::At::at(n2s_catalog::timed!($op, call), $op)
    }};
}
pub(crate) use transact;
