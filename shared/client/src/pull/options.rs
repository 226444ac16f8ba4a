//! What a pull is asked to do, what it needs, what it reports.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use n2s_domain::{BackendName, ChangesetId, DatasetName, ProjectName, RelPath, VaultId, Version};
use n2s_envelope::Vault;

use super::passed_over::PassedOver;
use crate::seam::{Reader, SeamError, Selector};

/// A pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The project.
    pub project: ProjectName,
    /// The dataset.
    pub dataset: DatasetName,
    /// The version.
    pub selector: Selector,
    /// Where to.
    pub target: PathBuf,
    /// Only what matches one of these; a directory that matches brings all below it. Everything without.
    pub globs: Vec<String>,
    /// Write into a directory that is not empty, replacing what differs.
    pub force: bool,
    /// Count, write nothing.
    pub dry_run: bool,
    /// Read every file back and compare its hash.
    pub verify: bool,
    /// Ask this store first.
    pub from: Option<BackendName>,
}

/// What a pull needs.
#[derive(Clone, Debug)]
pub struct PullDeps {
    /// The other side.
    pub reader: Arc<dyn Reader>,
    /// Opens; without it the other side does.
    pub vault: Option<Arc<Vault>>,
    /// Who watches.
    pub progress: Arc<dyn PullProgress>,
}

/// What a pull tells while it runs.
pub trait PullProgress: fmt::Debug + Send + Sync + 'static {
    /// What there is to restore: paths, and the bytes of their files.
    fn total(&self, paths: u64, bytes: u64);
    /// A file of so many bytes is in place, or was there already.
    fn restored(&self, bytes: u64);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentPull;

impl PullProgress for SilentPull {
    fn total(&self, _: u64, _: u64) {}
    fn restored(&self, _: u64) {}
}

/// What a pull did.
#[derive(Clone, Debug)]
pub struct PullReport {
    /// The version's changeset.
    pub changeset: ChangesetId,
    /// The version.
    pub version: Version,
    /// Files written, or that would be.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Symbolic and hard links.
    pub links: u64,
    /// Bytes of files written.
    pub bytes: u64,
    /// Files that were there already.
    pub kept: u64,
    /// What could not be written as it was, and why.
    pub problems: Vec<(RelPath, String)>,
    /// Files of which no intact copy is left.
    pub lost: Vec<(RelPath, String)>,
    /// Copies that were missing, damaged or out of reach; another one was used, if there was one.
    pub bad_copies: Vec<PassedOver>,
}

/// Why nothing could be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The other side refused or failed.
    #[error(transparent)]
    Seam(#[from] SeamError),
    /// The target holds something else.
    #[error("the target {0} is not empty; choose another, or write into it with --force")]
    NotEmpty(PathBuf),
    /// No path matches.
    #[error("no path of this version matches '{0}'; `n2s files` lists them")]
    NoMatch(String),
    /// A glob cannot be read.
    #[error("the glob '{glob}' cannot be used")]
    Glob {
        /// Which.
        glob: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// The vault is another.
    #[error(
        "this version is sealed with vault {found}, the vault here is {own}; use the vault it was pushed with"
    )]
    WrongVault {
        /// The version's.
        found: VaultId,
        /// Ours.
        own: VaultId,
    },
    /// The target cannot be written.
    #[error("the target {path} cannot be written")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
