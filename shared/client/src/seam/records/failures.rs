//! What failed, and trying it again.

use n2s_domain::{
    BackendName, ChangesetId, ContentHash, DatasetName, FailureKind, ProjectName, RelPath, SealedHash,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::seam::Moment;

/// Which failures; all fields that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FailedFilter {
    /// Of this project.
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// Of this dataset.
    #[schema(value_type = Option<String>)]
    pub dataset: Option<DatasetName>,
    /// On this store.
    #[schema(value_type = Option<String>)]
    pub backend: Option<BackendName>,
    /// That this changeset waits for.
    #[schema(value_type = Option<Uuid>)]
    pub changeset: Option<ChangesetId>,
    /// Of this kind.
    #[schema(value_type = Option<String>)]
    pub kind: Option<FailureKind>,
}

/// What could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedUpload {
    /// The store.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// The project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// A dataset that needs it.
    #[schema(value_type = Option<String>)]
    pub dataset: Option<DatasetName>,
    /// A path that needs it; absent for a manifest.
    #[schema(value_type = Option<String>)]
    pub path: Option<RelPath>,
    /// The blob's content; absent for a manifest.
    #[schema(value_type = Option<String>)]
    pub content_hash: Option<ContentHash>,
    /// Its name on the store.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Why.
    #[schema(value_type = String)]
    pub kind: FailureKind,
    /// In words.
    pub message: String,
    /// Failures charged.
    pub retry_count: u32,
    /// The last attempt.
    #[schema(value_type = Option<String>)]
    pub attempted_at: Option<Moment>,
}

/// What a cancellation gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cancelled {
    /// Blobs on stores.
    pub placements: u64,
}

/// What a retry set going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Blobs.
    pub placements: u64,
    /// Manifests.
    pub manifests: u64,
}
