//! What a manifest is made from: the changes of an open push as the catalog recorded them, and the groups of segments
//! that earlier versions left.
//!
//! A group covers versions `(since, through]`; `since = 0` is a base. Its segments are ordinary sealed blobs.

use async_trait::async_trait;
use n2s_domain::{ContentHash, EntryChange, Epoch, RelPath, SealedHash, Version};

use crate::{CatalogError, pushes::PushLease};

/// Which of a manifest's two lists a group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// The file list.
    List,
    /// The map from contents to sealings.
    Map,
}

impl GroupKind {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// A group on which the open push may build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestGroup {
    /// Which list.
    pub kind: GroupKind,
    /// The version before its first.
    pub since: Version,
    /// Its last version.
    pub through: Version,
    /// Lines in all its segments.
    pub entries: u64,
    /// Its segments in order.
    pub segments: Vec<SegmentRef>,
}

/// One segment: a sealed blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    /// The segment's plaintext.
    pub content_hash: ContentHash,
    /// Its accepted sealing.
    pub sealed_hash: SealedHash,
    /// Plaintext bytes.
    pub size: u64,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// A group the open push adds; its segments have been staged like any blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// Which list.
    pub kind: GroupKind,
    /// The version before its first.
    pub since: Version,
    /// Lines in all its segments.
    pub entries: u64,
    /// Contents of its segments, in order.
    pub segments: Vec<ContentHash>,
}

/// A blob and its sealing: a line of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The content.
    pub content_hash: ContentHash,
    /// Its accepted sealing.
    pub sealed_hash: SealedHash,
    /// Its epoch.
    pub epoch: Epoch,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// Counts over the open push's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCounts {
    /// Paths of every kind.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// List lines a delta from the parent needs.
    pub changed: u64,
    /// Paths of the parent that are gone.
    pub removed: u64,
}

/// Reading and adding what manifests are made of.
#[async_trait]
pub trait Manifests {
    /// The groups that make up the parent's lists, base first.
    async fn manifest_groups(&self, lease: &PushLease) -> Result<Vec<ManifestGroup>, CatalogError>;

    /// Counts of the version as recorded so far.
    async fn version_counts(&self, lease: &PushLease) -> Result<VersionCounts, CatalogError>;

    /// The differences between version `since` and the open push, by path, after `after`; every row when `since` is 0.
    async fn manifest_changes(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, CatalogError>;

    /// The blobs that rows later than `since` reference, by content hash, after `after`, each once.
    async fn manifest_blobs(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, CatalogError>;

    /// Sealings replaced since the parent was committed: old, new.
    async fn replaced_sealings(
        &self,
        lease: &PushLease,
    ) -> Result<Vec<(SealedHash, SealedHash)>, CatalogError>;

    /// Adds groups to the open push, with placements, jobs and waiters for their segments. A second call replaces the
    /// groups of the first. Fails with `Unsourced` like `record_entries`.
    async fn record_groups(&self, lease: &PushLease, groups: &[NewGroup]) -> Result<(), CatalogError>;
}
