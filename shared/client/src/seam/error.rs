//! How the other side refuses or fails. The variant decides what the client does and which exit code the command gives.

use n2s_domain::{ChangesetId, ContentHash};

/// A refusal or failure of the other side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeamError {
    /// Nothing is called that.
    #[error("there is no {what} '{name}'{hint}")]
    Unknown {
        /// `project`, `dataset`, `version`, `snapshot`, `changeset` or `backend`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Empty, or what there is instead.
        hint: String,
    },
    /// The project is sealed with another vault.
    #[error("{0}")]
    WrongVault(String),
    /// Another push of the dataset is open, or being undone. Says whose, and since when.
    #[error("{message}")]
    Held {
        /// In words.
        message: String,
        /// True while an abandoned push is being undone: ask again in a moment.
        undoing: bool,
    },
    /// This push is no longer the one that holds the dataset.
    #[error("the write lease of changeset {0} is gone: it was abandoned, taken over or committed")]
    LeaseLost(ChangesetId),
    /// These contents have no source any more: send them again.
    #[error("{} blobs are neither staged nor stored anywhere and must be sent again", .0.len())]
    Unsourced(Vec<ContentHash>),
    /// The caller may not do that, or did not say who it is.
    #[error("{0}")]
    Denied(String),
    /// The request cannot be served as it is.
    #[error("{0}")]
    Invalid(String),
    /// No intact copy of a blob is left on any store.
    #[error("no intact copy of blob {content} is left: {tried}")]
    NoIntactCopy {
        /// The blob.
        content: ContentHash,
        /// Each place that was tried, and what it said.
        tried: String,
    },
    /// Copies of a blob may be intact, but none of them can be read now.
    #[error("no copy of blob {content} can be reached for now, though some may be intact: {tried}")]
    OutOfReach {
        /// The blob.
        content: ContentHash,
        /// Each place that was tried, and what it said.
        tried: String,
    },
    /// What the other side needs is away. What was asked may be done or not; it can be asked again.
    #[error("{doing} failed for now")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// Anything else: a disk, a database, a store, a server.
    #[error("{doing} failed")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
}
