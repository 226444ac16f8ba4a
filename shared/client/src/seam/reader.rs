//! Looking and pulling.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use n2s_domain::{
    BackendName, ChangesetId, ContentHash, DatasetName, FailureKind, FileEntry, PathSpan, ProjectName,
    RelPath, SealedHash, VaultId, Version,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SeamError;

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

/// A version that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionRef {
    /// The other side's key for the dataset.
    pub dataset: i64,
    /// Its number.
    #[schema(value_type = u64)]
    pub version: Version,
    /// Its changeset.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// Its label.
    pub snapshot: Option<String>,
    /// Paths of every kind.
    pub file_count: u64,
    /// Bytes of all files.
    pub total_size: u64,
    /// The project's vault.
    #[schema(value_type = String)]
    pub vault: VaultId,
}

/// Where a page begins and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// After this key; from the start without.
    pub after: Option<K>,
    /// At most this many rows.
    pub limit: u32,
}

/// A path with its blobs, in chunk order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// The entry.
    pub entry: FileEntry,
    /// The blobs of `entry.chunks()`, in the same order.
    pub blobs: Vec<FileBlob>,
}

/// A blob to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct FileBlob {
    /// The other side's key for the blob.
    pub id: i64,
    /// Its content.
    #[schema(value_type = String)]
    pub content_hash: ContentHash,
    /// Its sealing, which the fetched bytes are checked against.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// A fetched sealed blob.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes; their BLAKE3 is the sealing asked for.
    pub bytes: Bytes,
    /// Stores that could not give it.
    pub bad_copies: Vec<BadCopy>,
}

/// A copy that was missing, damaged or out of reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadCopy {
    /// The store.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// Decides whether it was the object or the store.
    #[schema(value_type = String)]
    pub kind: FailureKind,
    /// What was wrong. Where it was the store, no object is named.
    pub what: String,
}

/// The side a pull, or a diff, reads from.
#[async_trait]
pub trait Reader: fmt::Debug + Send + Sync + 'static {
    /// Finds a version; `Unknown` names what exists instead.
    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, SeamError>;

    /// A page of what of a version's tree lies in `within`, in path order, with blobs.
    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, SeamError>;

    /// The same, entries only.
    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError>;

    /// A page of the directories in `within`, in descending path order.
    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, SeamError>;

    /// Fetches sealed blobs, in the order given: from staging or any store, `from` first, the next where a copy is missing or
    /// damaged. Each answer stands alone.
    async fn fetch(&self, blobs: &[FileBlob], from: Option<&BackendName>) -> Vec<Result<Fetched, SeamError>>;

    /// The same, opened by the other side: the bytes are the plaintext, whose BLAKE3 is the content asked for. `Invalid` when it has
    /// no vault.
    async fn fetch_opened(
        &self,
        blobs: &[FileBlob],
        from: Option<&BackendName>,
    ) -> Vec<Result<Fetched, SeamError>>;
}
