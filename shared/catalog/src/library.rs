//! Reading: what there is, in which version, and where it lies.

use async_trait::async_trait;
use n2s_domain::{
    BackendId, BackendName, BlobId, ChangesetId, ChangesetStatus, ContentHash, DatasetName, FailureKind,
    FileEntry, PathSpan, PlacementStatus, ProjectName, RelPath, SealedHash, Timestamp, VaultId, Version,
};
use std::collections::BTreeMap;

use crate::CatalogError;
use crate::staging::StagedKey;

/// A project's dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetRecord {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub dataset: DatasetName,
    /// The project's vault.
    pub vault: VaultId,
    /// Its latest committed version, if any.
    pub head: Option<Version>,
    /// Its stores.
    pub backends: Vec<BackendName>,
}

/// Which version is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The head.
    Latest,
    /// This number.
    Version(Version),
    /// The newest version with this label.
    Snapshot(String),
    /// The version of this changeset.
    Changeset(ChangesetId),
    /// What an open push has recorded so far, on top of its parent.
    Open(ChangesetId),
}

impl Selector {
    /// What there is none of, when there is none.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Latest | Self::Version(_) => "version",
            Self::Snapshot(_) => "snapshot",
            Self::Changeset(_) | Self::Open(_) => "changeset",
        }
    }

    /// Which one was asked for.
    pub fn name(&self) -> String {
        match self {
            Self::Latest => "latest".to_owned(),
            Self::Version(version) => version.to_string(),
            Self::Snapshot(label) => label.clone(),
            Self::Changeset(id) | Self::Open(id) => id.to_string(),
        }
    }
}

/// A version that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRef {
    /// The dataset's row.
    pub dataset: i64,
    /// Its number.
    pub version: Version,
    /// Its changeset.
    pub changeset: ChangesetId,
    /// Its label.
    pub snapshot: Option<String>,
    /// Paths of every kind.
    pub file_count: u64,
    /// Bytes of all files.
    pub total_size: u64,
    /// The project's vault.
    pub vault: VaultId,
}

/// A file row with its blobs' rows, in chunk order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// The entry.
    pub entry: FileEntry,
    /// The changeset that recorded it.
    pub changeset: ChangesetId,
    /// The blobs of `entry.chunks()`, in the same order.
    pub blobs: Vec<FileBlob>,
}

/// Whose a blob is, and what stores hold of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobOwner {
    /// The project it was pushed to.
    pub project: ProjectName,
    /// Its accepted sealing.
    pub sealed_hash: SealedHash,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// A blob of a file, with where its bytes can be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBlob {
    /// Its row.
    pub id: BlobId,
    /// Its content.
    pub content_hash: ContentHash,
    /// Its sealing.
    pub sealed_hash: SealedHash,
    /// Sealed bytes.
    pub encrypted_size: u64,
    /// Where in staging, if there.
    pub staged: Option<StagedKey>,
    /// Stores whose copy is completed.
    pub stored_on: Vec<BackendId>,
}

/// A blob on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The blob.
    pub blob: BlobId,
    /// The store.
    pub backend: BackendId,
    /// Its status.
    pub status: PlacementStatus,
    /// The last attempt.
    pub attempted_at: Option<Timestamp>,
    /// When the store acknowledged it.
    pub completed_at: Option<Timestamp>,
    /// When it was last proven.
    pub verified_at: Option<Timestamp>,
    /// Failures charged to it.
    pub retry_count: u32,
    /// The last failure.
    pub error: Option<(FailureKind, String)>,
}

/// Where a page begins and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// After this key; from the start without.
    pub after: Option<K>,
    /// At most this many rows; at most `limits::PAGE_ROWS_MAX`.
    pub limit: u32,
}

/// Which changesets to list; all fields that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesetFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of this dataset.
    pub dataset: Option<DatasetName>,
    /// In this status.
    pub status: Option<ChangesetStatus>,
}

/// A changeset for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesetRecord {
    /// Its id.
    pub id: ChangesetId,
    /// Its project.
    pub project: ProjectName,
    /// Its dataset.
    pub dataset: DatasetName,
    /// Its version.
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
    pub status: ChangesetStatus,
    /// Why it failed before commit, such as `abandoned`.
    pub error: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was committed.
    pub committed_at: Option<Timestamp>,
    /// When it settled.
    pub completed_at: Option<Timestamp>,
    /// Paths in the version.
    pub file_count: u64,
    /// Blobs its own rows reference.
    pub blob_count: u64,
    /// Bytes of all files of the version.
    pub total_size: u64,
    /// Paths it added, changed and removed.
    pub added: u64,
    /// See `added`.
    pub modified: u64,
    /// See `added`.
    pub removed: u64,
    /// How far it is on each store.
    pub stores: Vec<ChangesetStore>,
}

/// A changeset on one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesetStore {
    /// The store.
    pub backend: BackendName,
    /// Placements still waited for.
    pub waiting: u64,
    /// Placements that failed.
    pub failed: u64,
    /// The manifest there.
    pub manifest: ManifestState,
    /// Why the manifest failed or is blocked.
    pub error: Option<String>,
}

/// A version's manifest on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestState {
    /// Blobs come first.
    Waiting,
    /// An earlier version is not whole there.
    Blocked,
    /// A job is copying it.
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

/// A path that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// Its project.
    pub project: ProjectName,
    /// Its dataset.
    pub dataset: DatasetName,
    /// The path.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of a file's content.
    pub content_hash: Option<ContentHash>,
    /// The row, to page on.
    pub row: i64,
}

/// Reading the catalog.
#[async_trait]
pub trait Library {
    /// Every dataset, by project and name; only those of `project` when given (`Unknown` when there is no such project).
    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<DatasetRecord>, CatalogError>;

    /// Finds a version; `Unknown` names what exists instead.
    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, CatalogError>;

    /// A page of what of a version's tree lies in `within`, in path order, with blobs and where they can be read.
    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, CatalogError>;

    /// The same, entries only: cheaper than [`Library::tree`].
    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError>;

    /// A page of the directories in `within`, in descending path order, deepest first below each.
    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError>;

    /// Placements of blobs, by blob and store.
    async fn placements(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, CatalogError>;

    /// Whose each blob is, in the order given; `None` where there is no such row. Callers that may see one project only are held to
    /// it by this.
    async fn blob_owners(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, CatalogError>;

    /// Changesets, newest first.
    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        page: &Page<ChangesetId>,
    ) -> Result<Vec<ChangesetRecord>, CatalogError>;

    /// One changeset; `Unknown` when there is none.
    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, CatalogError>;

    /// Paths of head versions whose name holds `text`, without regard to case or Unicode form.
    async fn search(
        &self,
        filter: &ChangesetFilter,
        text: &str,
        page: &Page<i64>,
    ) -> Result<Vec<SearchHit>, CatalogError>;
}
