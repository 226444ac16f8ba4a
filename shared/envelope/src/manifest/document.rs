//! The header and the body, as JSON.

use n2s_domain::{ChangesetId, ContentHash, DatasetName, ProjectName, SealedHash, VaultId, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `manifest-header.json`: small, so that finding out what there is costs little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// 1.
    pub format: u8,
    /// The vault.
    pub vault: VaultId,
    /// The catalog that wrote it.
    pub catalog: Uuid,
    /// The project.
    pub project: ProjectName,
    /// The dataset.
    pub dataset: DatasetName,
    /// The version.
    pub version: Version,
    /// The changeset.
    pub changeset: ChangesetId,
    /// The producer's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// The version it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentRef>,
    /// Counts.
    pub counts: Counts,
    /// The body.
    pub body: ObjectRef,
}

/// The version another builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRef {
    /// Its number.
    pub version: Version,
    /// Its changeset.
    pub changeset: ChangesetId,
}

/// What a version holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Paths of every kind.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// List lines that differ from the parent.
    pub changed: u64,
}

/// An object beside the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The digest of its bytes.
    pub sealed_hash: SealedHash,
    /// Its bytes.
    pub size: u64,
}

/// `manifest-body.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Groups, base first, by kind.
    pub groups: Vec<Group>,
    /// Sealings that took the place of lost ones; they apply to this and all earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
}

/// Which list a group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Paths.
    List,
    /// Sealings.
    Map,
}

/// A group of segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Which list.
    pub kind: GroupKind,
    /// The version before its first.
    pub since: Version,
    /// Its last version.
    pub through: Version,
    /// Lines in all segments.
    pub entries: u64,
    /// Segments in order.
    pub segments: Vec<SegmentRef>,
}

/// A segment: a sealed blob under `blobs/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// BLAKE3 of its lines.
    pub content_hash: ContentHash,
    /// Its name on the store.
    pub sealed_hash: SealedHash,
    /// Bytes of its lines.
    pub size: u64,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// One sealing in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The lost one.
    pub old: SealedHash,
    /// The one to read.
    pub new: SealedHash,
}
