//! What a push is asked to do, what it needs, and what it reports.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use n2s_domain::{BackendName, ChangesetId, Clock, DatasetName, ProjectName, RelPath, Version};
use n2s_envelope::Vault;

use crate::seam::{Producer, Reader, TakeOver};

/// What to push.
#[derive(Clone, Debug)]
pub enum Source {
    /// A whole directory, which becomes the dataset's tree.
    Tree,
    /// Only what lies at or below these paths of the root; the rest of the dataset stays as it is.
    Below(Vec<RelPath>),
    /// Exactly these paths of the root: those that exist are put, those that do not are removed.
    Paths(Vec<RelPath>),
}

/// A push.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The project.
    pub project: ProjectName,
    /// The dataset.
    pub dataset: DatasetName,
    /// The producer's label.
    pub snapshot: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Who pushes.
    pub client_id: String,
    /// The producer's keys and values.
    pub metadata: BTreeMap<String, String>,
    /// Stores for a dataset's first push.
    pub backends: Vec<BackendName>,
    /// Copies that make the changeset safe.
    pub min_copies: Option<u32>,
    /// What to do about an open push.
    pub take_over: TakeOver,
    /// The directory that paths are relative to.
    pub root: PathBuf,
    /// What of it.
    pub source: Source,
    /// Patterns to leave out.
    pub excludes: Vec<String>,
    /// Stay on the root's file system.
    pub one_file_system: bool,
    /// Read every file, whatever its times say.
    pub checksum: bool,
    /// Allow the dataset to lose more than half of its paths.
    pub allow_mass_removal: bool,
    /// Where to keep the stat cache; without it every file is read.
    pub cache_dir: Option<PathBuf>,
}

/// What a push needs.
#[derive(Clone, Debug)]
pub struct PushDeps {
    /// The other side.
    pub producer: Arc<dyn Producer>,
    /// The same, for reading the last version.
    pub reader: Arc<dyn Reader>,
    /// Seals; without it the other side does.
    pub vault: Option<Arc<Vault>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub progress: Arc<dyn Progress>,
}

/// What a push tells while it runs. Called often and from several threads: it must be quick.
pub trait Progress: fmt::Debug + Send + Sync + 'static {
    /// Paths the walk has met.
    fn seen(&self, paths: u64);
    /// Bytes read from files.
    fn read(&self, bytes: u64);
    /// Sealed bytes sent.
    fn sent(&self, bytes: u64);
    /// Paths that are done with, and the bytes of the files among them, read or not.
    fn passed(&self, paths: u64, bytes: u64);
    /// Whether to measure the source, once the push has run for a moment, for [`Self::total`].
    fn wants_total(&self) -> bool {
        false
    }
    /// What the source holds.
    fn total(&self, _paths: u64, _bytes: u64) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentProgress;

impl Progress for SilentProgress {
    fn seen(&self, _: u64) {}
    fn read(&self, _: u64) {}
    fn sent(&self, _: u64) {}
    fn passed(&self, _: u64, _: u64) {}
}

/// Something that is not in the changeset, or not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: RelPath,
    /// What, in words.
    pub what: String,
    /// Whether it makes the push a failure (exit code 1). Special files, which are never stored, do not.
    pub serious: bool,
}

/// How many problems a report names; the rest is counted.
pub const PROBLEMS_NAMED_MAX: usize = 1_000;

/// What a push did.
#[derive(Clone, Debug)]
pub struct PushReport {
    /// Its changeset.
    pub changeset: ChangesetId,
    /// Its version.
    pub version: Version,
    /// Its stores.
    pub backends: Vec<BackendName>,
    /// Whether an interrupted push was continued.
    pub resumed: bool,
    /// Paths met.
    pub seen: u64,
    /// Paths put, new or changed.
    pub put: u64,
    /// Paths removed.
    pub removed: u64,
    /// Paths as they were.
    pub unchanged: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Sealed bytes sent.
    pub sent_bytes: u64,
    /// The first [`PROBLEMS_NAMED_MAX`].
    pub problems: Vec<Problem>,
    /// All of them.
    pub problem_count: u64,
    /// Those that make the push a failure.
    pub serious_count: u64,
}
