//! The driver's errors, mapped once, and transactions that the server chose to end.

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

/// Whether the server is at fault and not the statement: no connection (08), shutting down, crashed or not up yet (57P), full of connections
/// (53300).
fn is_away(error: &sqlx::Error, code: Option<&str>) -> bool {
    let lost = matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
    );
    lost || code.is_some_and(|code| {
        code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "53300")
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

/// Runs a transaction, again when the server ended it for another's sake. A macro, because a closure's future cannot be promised
/// to be `Send`.
macro_rules! transact {
    ($op:literal, $call:expr) => {{
        let mut attempt = 1u32;
        loop {
            match $call.await {
                Err(fail) if fail.gave_way(attempt) => {
                    tracing::debug!(op = $op, attempt, "a transaction gave way to another and begins again");
                    tokio::time::sleep(std::time::Duration::from_millis(1 << attempt)).await;
                    attempt += 1;
                }
                answer => break $crate::error::At::at(answer, $op),
            }
        }
    }};
}
pub(crate) use transact;
