//! The driver's errors, mapped once.

use n2s_catalog::CatalogError;

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
    /// The error of a method that was to `op`.
    pub(crate) fn at(self, op: &'static str) -> CatalogError {
        let error = match self {
            Self::Catalog(error) => return error,
            Self::Sql(error) => error,
        };
        // Extended result codes carry the primary one in their low byte.
        let code = error
            .as_database_error()
            .and_then(|error| error.code()?.parse::<i32>().ok())
            .map(|code| code & 0xff);
        let place = || "the catalog's file".to_owned();
        match code {
            Some(13) => CatalogError::Full { place: place() },
            Some(8) => CatalogError::ReadOnly { place: place() },
            _ => CatalogError::Database { op, source: error.into() },
        }
    }
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

/// Awaits the inside of a trait method, and counts how long that took.
macro_rules! ask {
    ($op:literal, $call:expr) => {
        $crate::error::At::at(n2s_catalog::timed!($op, $call), $op)
    };
}
pub(crate) use ask;
