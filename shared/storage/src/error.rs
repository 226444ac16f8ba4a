//! What a store can answer besides what was asked for: a kind, which decides, and a cause, which explains.

use std::sync::Arc;
use std::time::Duration;

use n2s_domain::FailureKind;

use crate::key::ObjectKey;

/// A store's failure.
#[derive(Debug, thiserror::Error)]
#[error("{op}{} on {backend} failed ({kind})", .key.as_ref().map(|key| format!(" of {key}")).unwrap_or_default())]
pub struct StorageError {
    /// Decides what happens next.
    pub kind: FailureKind,
    /// What was to be done: `store`, `retrieve`, ….
    pub op: &'static str,
    /// The store's configured name.
    pub backend: Arc<str>,
    /// The object, where it was about one.
    pub key: Option<ObjectKey>,
    /// How long the store asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The cause. Never holds a credential.
    #[source]
    pub source: anyhow::Error,
}

impl StorageError {
    /// The error and its causes in one line, for rows and logs.
    pub fn report(&self) -> String {
        format!("{self}: {:#}", self.source)
    }
}
