//! What failed, and trying it again.

use async_trait::async_trait;
use n2s_domain::{
    BackendName, ChangesetId, ContentHash, DatasetName, FailureKind, ProjectName, RelPath, SealedHash,
    Timestamp,
};

use crate::CatalogError;
use crate::library::Page;

/// Which failures; all fields that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of this dataset.
    pub dataset: Option<DatasetName>,
    /// On this store.
    pub backend: Option<BackendName>,
    /// That this changeset waits for.
    pub changeset: Option<ChangesetId>,
    /// Of this kind.
    pub kind: Option<FailureKind>,
}

/// A failed placement, or a failed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedUpload {
    /// The store.
    pub backend: BackendName,
    /// The project.
    pub project: ProjectName,
    /// A dataset and path that needs it; `None` when no live row does any more, and for manifests the path is absent.
    pub dataset: Option<DatasetName>,
    /// See `dataset`.
    pub path: Option<RelPath>,
    /// The blob's content; `None` for a manifest.
    pub content_hash: Option<ContentHash>,
    /// Its name on the store.
    pub sealed_hash: SealedHash,
    /// Why.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
    /// Failures charged.
    pub retry_count: u32,
    /// The last attempt.
    pub attempted_at: Option<Timestamp>,
    /// To page on.
    pub key: String,
}

/// What a retry set going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Placements pending again.
    pub placements: u64,
    /// Manifests pending again.
    pub manifests: u64,
}

/// Operators' work.
#[async_trait]
pub trait Operate {
    /// A page of failures, latest attempt first.
    async fn failed_uploads(
        &self,
        filter: &FailedFilter,
        page: &Page<String>,
    ) -> Result<Vec<FailedUpload>, CatalogError>;

    /// Makes up to `limit` matching failures pending with a fresh budget, and starts a new generation of the changesets
    /// that wait for them. Call again until it returns zeros.
    async fn retry_failed(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, CatalogError>;

    /// Gives up to `limit` pending placements up that this changeset waits for, that no other unfinished changeset waits for and
    /// that no worker is at: they fail with kind `cancelled`, charged nothing, and can be retried. Returns how many; call again
    /// until it returns zero. `Unknown` when there is no such changeset.
    async fn cancel(&self, changeset: ChangesetId, limit: u32) -> Result<u64, CatalogError>;
}
