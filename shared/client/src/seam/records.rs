//! What operators see. The same records are the HTTP API's answers and the documents of `--output json`: their fields are stable.

use std::collections::BTreeMap;
use std::fmt;

use n2s_domain::{
    BackendName, ChangesetId, ChangesetStatus, ContentHash, DatasetName, FailureKind, ProjectName, RelPath,
    Scope, SealedHash, TokenId, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// Where a listing goes on, and how long a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The `next` of the page before; from the start without.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// What there is.
    pub items: Vec<T>,
    /// Asks for the next page; absent on the last.
    pub next: Option<String>,
}

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

/// Where to search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// In this project.
    pub project: Option<ProjectName>,
    /// In this dataset.
    pub dataset: Option<DatasetName>,
}

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

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Every store.
    pub backends: Vec<BackendStatus>,
    /// What waits.
    pub staging: StagingTotals,
    /// Every dataset.
    pub datasets: Vec<DatasetStatus>,
}

/// What lies in staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagingTotals {
    /// Sealed blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetStatus {
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Its name.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// Its latest version, once there is one.
    #[schema(value_type = Option<u64>)]
    pub head: Option<Version>,
    /// Its stores.
    #[schema(value_type = Vec<String>)]
    pub backends: Vec<BackendName>,
}

/// Whether a store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreState {
    /// It is.
    Active,
    /// Nothing is sent to it; `reason` says why.
    Paused,
    /// It does not answer; it is tried again by itself.
    Unreachable,
}

impl StoreState {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A store with its totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// What it is.
    pub kind: String,
    /// Whether it is used.
    pub state: StoreState,
    /// Why not, and since when; empty when it is.
    pub reason: String,
    /// Blobs there.
    pub completed: u64,
    /// Blobs on their way.
    pub pending: u64,
    /// Blobs given up.
    pub failed: u64,
    /// Sealed bytes there.
    pub bytes: u64,
    /// When it was first written to.
    #[schema(value_type = Option<String>)]
    pub initialised_at: Option<Moment>,
    /// Objects under way that n2s allows it at once.
    pub concurrency: Option<u32>,
    /// The last object it acknowledged.
    #[schema(value_type = Option<String>)]
    pub last_success_at: Option<Moment>,
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

/// A kind of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A regular file.
    File,
}

/// A path of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListedFile {
    /// The path; what is not UTF-8 as `\xNN`.
    #[schema(value_type = String)]
    pub path: RelPath,
    /// What it is.
    pub kind: PathKind,
    /// Bytes of a file.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Seconds and nanoseconds.
    #[schema(value_type = Vec<i64>)]
    pub mtime: (i64, u32),
    /// BLAKE3 of a file.
    #[schema(value_type = Option<String>)]
    pub content_hash: Option<ContentHash>,
    /// Of a symbolic link, escaped like paths.
    pub link_target: Option<String>,
    /// The changeset that recorded it.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// Stores that hold all of a file.
    #[schema(value_type = Option<Vec<String>>)]
    pub stores: Option<Vec<BackendName>>,
}

/// A path that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchHit {
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Its dataset.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// The path.
    #[schema(value_type = String)]
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of a file.
    #[schema(value_type = Option<String>)]
    pub content_hash: Option<ContentHash>,
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

/// What a retry set going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Blobs.
    pub placements: u64,
    /// Manifests.
    pub manifests: u64,
}

/// A counter that differs from its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// Which.
    pub counter: String,
    /// Its value.
    pub kept: i64,
    /// What its rows say.
    pub counted: i64,
}

/// A token to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// For people: who or what holds it.
    pub name: String,
    /// What it allows.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// Where; absent is every project, those to come included.
    #[schema(value_type = Option<Vec<String>>)]
    pub projects: Option<Vec<ProjectName>>,
    /// How long it lives; absent is until revoked.
    pub expires_secs: Option<u64>,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenStatus {
    /// Its id.
    #[schema(value_type = i64)]
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it allows.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// Where; absent is every project.
    #[schema(value_type = Option<Vec<String>>)]
    pub projects: Option<Vec<ProjectName>>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Moment,
    /// When it ends.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Moment>,
    /// When it was revoked.
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Moment>,
}

/// A new token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// The token's text, told this once.
    pub token: String,
    /// All else.
    #[serde(flatten)]
    pub status: TokenStatus,
}

/// Without the text.
impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("status", &self.status).finish_non_exhaustive()
    }
}
