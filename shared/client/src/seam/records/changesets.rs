//! Changesets, and how far each is on its stores.

use std::collections::BTreeMap;

use n2s_domain::{BackendName, ChangesetId, ChangesetStatus, DatasetName, ProjectName, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::seam::Moment;

/// Which changesets; all fields that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesetFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of this dataset.
    pub dataset: Option<DatasetName>,
    /// In this status.
    pub status: Option<ChangesetStatus>,
}

/// A changeset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangesetRecord {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Its dataset.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// Its version.
    #[schema(value_type = u64)]
    pub version: Version,
    /// The producer's label.
    pub snapshot: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Who pushed.
    pub client_id: String,
    /// The producer's keys and values.
    pub metadata: BTreeMap<String, String>,
    /// Its status.
    #[schema(value_type = String)]
    pub status: ChangesetStatus,
    /// Why it failed before commit, such as `abandoned`.
    pub error: Option<String>,
    /// When it was opened.
    #[schema(value_type = String)]
    pub created_at: Moment,
    /// When it was committed.
    #[schema(value_type = Option<String>)]
    pub committed_at: Option<Moment>,
    /// When it settled.
    #[schema(value_type = Option<String>)]
    pub completed_at: Option<Moment>,
    /// Paths in the version.
    pub file_count: u64,
    /// Blobs its own rows reference.
    pub blob_count: u64,
    /// Bytes of all files of the version.
    pub total_size: u64,
    /// Paths it added.
    pub added: u64,
    /// Paths it changed.
    pub modified: u64,
    /// Paths it removed.
    pub removed: u64,
    /// How far it is on each store.
    pub stores: Vec<StoreProgress>,
}

/// A changeset on one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreProgress {
    /// The store.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// Blobs still waited for.
    pub waiting: u64,
    /// Blobs given up.
    pub failed: u64,
    /// The version's manifest there.
    pub manifest: ManifestState,
    /// Why the manifest failed or is blocked.
    pub error: Option<String>,
    /// Why the store cannot be reached at this moment, if something is waited for there.
    pub unreachable: Option<String>,
}

/// A version's manifest on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ManifestState {
    /// Blobs come first.
    Waiting,
    /// An earlier version is not whole there.
    Blocked,
    /// It is being copied.
    Pending,
    /// The whole version can be restored from this store.
    Completed,
    /// Given up; a retry starts again.
    Failed,
}

impl ManifestState {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}
