//! The JSON inside a sealed object: enough to bring a file back when catalog and manifests are gone.

use n2s_domain::{ChangesetId, ContentHash, DatasetName, FileTime, ProjectName, RelPath, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file, a piece of one, or a manifest's segment.
    Blob,
    /// `manifest-header.json`.
    ManifestHeader,
    /// `manifest-body.json`.
    ManifestBody,
}

/// An object's metadata. Readers ignore fields they do not know.
///
/// For a blob, path and times are those of the place where the content was first seen: a hint for disaster recovery, never
/// what a pull restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// BLAKE3 of the payload, before compression. Set by sealing.
    pub content_hash: ContentHash,
    /// Payload bytes, before compression. Set by sealing.
    pub size: u64,
    /// `zstd` or `none`. Set by sealing.
    pub compression: String,
    /// Zero bytes after the payload. Set by sealing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub padding: u64,
    /// The project.
    pub project: ProjectName,
    /// The dataset.
    pub dataset: DatasetName,
    /// Where the content was first seen, in the text form of `FORMAT.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filepath: Option<RelPath>,
    /// The file's mtime then: seconds and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<FileTime>,
    /// The file's permission bits then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where in the file the payload begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The file's size when it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Manifests: the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Manifests: the changeset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changeset: Option<ChangesetId>,
    /// Manifests: the catalog's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Uuid>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Metadata {
    /// Metadata of a blob without a place; fill in what is known.
    pub fn blob(project: ProjectName, dataset: DatasetName) -> Self {
        Self {
            kind: Kind::Blob,
            content_hash: ContentHash([0; 32]),
            size: 0,
            compression: String::new(),
            padding: 0,
            project,
            dataset,
            filepath: None,
            mtime: None,
            mode: None,
            offset: None,
            file_size: None,
            version: None,
            changeset: None,
            catalog: None,
        }
    }
}
