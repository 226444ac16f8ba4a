//! Paths of versions.

use n2s_domain::{BackendName, ChangesetId, ContentHash, DatasetName, ProjectName, RelPath};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where to search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// In this project.
    pub project: Option<ProjectName>,
    /// In this dataset.
    pub dataset: Option<DatasetName>,
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
