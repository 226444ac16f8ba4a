//! Why an attempt failed, and whose matter that is.

use std::error::Error;
use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_domain::FailureKind;
use n2s_storage::StorageError;

/// A failed attempt, before anybody has judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    /// For the row: what, where, why, what to do.
    pub message: String,
    pub retry_after: Option<Duration>,
    pub blame: Blame,
}

/// Whose matter a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The target store's or the object's: `n2s_domain::judge` says which.
    Target,
    /// The target store's alone: what failed was asked on behalf of all objects, before or after any of them.
    Store,
    /// The catalog's, staging's or another store's: nothing that the object or its store should pay for.
    Surroundings,
    /// Nobody can mend it by trying again.
    Final,
}

/// What a lane does after a failure of the surroundings.
pub(crate) const SURROUNDINGS_PAUSE: Duration = Duration::from_secs(2);

impl Failure {
    pub(crate) fn of_target(error: &StorageError) -> Self {
        let (kind, message, retry_after) = (error.kind, error.report(), error.retry_after);
        Self { kind, message, retry_after, blame: Blame::Target }
    }

    /// Of what every object of the store needs, such as its marker.
    pub(crate) fn of_store(error: &StorageError) -> Self {
        Self { blame: Blame::Store, ..Self::of_target(error) }
    }

    pub(crate) fn of_source(error: &StorageError) -> Self {
        Self::surroundings(format!("what is to be copied cannot be read: {}", error.report()))
    }

    pub(crate) fn of_catalog(error: &CatalogError) -> Self {
        Self::surroundings(report(error))
    }

    pub(crate) fn surroundings(message: String) -> Self {
        Self { kind: FailureKind::Unavailable, message, retry_after: None, blame: Blame::Surroundings }
    }

    /// The store is not what was configured.
    pub(crate) fn misconfigured(message: String) -> Self {
        Self { kind: FailureKind::Misconfigured, message, retry_after: None, blame: Blame::Store }
    }

    pub(crate) fn last(kind: FailureKind, message: String) -> Self {
        Self { kind, message, retry_after: None, blame: Blame::Final }
    }
}

/// `error: cause: cause`.
pub(crate) fn report(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
