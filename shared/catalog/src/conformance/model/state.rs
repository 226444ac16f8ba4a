//! The model: what there is, as maps.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::job::JobRow;
use n2s_domain::{
    BlobId, ChangesetId, ChangesetStatus, JobId, PlacementStatus, RelPath, SealedHash, Version,
};

use super::super::world::sealed;
use crate::{ClaimRef, PushLease, StagedKey, Ticket};

/// Contents by number, path by path.
pub(super) type Tree = BTreeMap<RelPath, Vec<u64>>;

/// A content in a project.
pub(super) type Key = (usize, u64);

/// Projects, by number.
pub(super) const PROJECTS: [&str; 2] = ["p", "q"];

/// Numbers of contents are below it; sealings of one content are this far apart.
const SEALINGS: u64 = 1_000;
/// Projects seal for themselves.
const PROJECT: u64 = 1_000_000;

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Blob(Key),
    Manifest(ChangesetId),
}

pub(super) struct Placement {
    pub(super) status: PlacementStatus,
    pub(super) charged: u32,
}

pub(super) struct Blob {
    /// Known from the first claim on.
    pub(super) id: Option<BlobId>,
    /// The number of its sealing.
    pub(super) sealing: u64,
    pub(super) staged: Option<StagedKey>,
    pub(super) min_copies: u32,
    pub(super) placed: BTreeMap<usize, Placement>,
}

impl Blob {
    pub(super) fn count(&self, status: PlacementStatus) -> usize {
        self.placed.values().filter(|placement| placement.status == status).count()
    }

    pub(super) fn sourced(&self) -> bool {
        self.staged.is_some() || self.count(PlacementStatus::Completed) > 0
    }

    pub(super) fn encrypted_size(&self) -> u64 {
        encrypted_size(self.sealing)
    }
}

pub(super) fn encrypted_size(sealing: u64) -> u64 {
    100 + sealing % PROJECT
}

/// The `nth` sealing of a content.
pub(super) fn sealing((project, content): Key, nth: u64) -> u64 {
    project as u64 * PROJECT + nth * SEALINGS + content
}

/// Whose sealing it is, and its number.
pub(super) fn sealed_number(hash: SealedHash) -> (Key, u64) {
    let number = u64::from_le_bytes(hash.0[..8].try_into().unwrap());
    assert_eq!(sealed(number), hash);
    ((usize::try_from(number / PROJECT).unwrap(), number % SEALINGS), number)
}

pub(super) struct Dataset {
    pub(super) project: usize,
    pub(super) name: &'static str,
    /// Places of its stores.
    pub(super) stores: Vec<usize>,
    pub(super) min_copies: Option<u32>,
    pub(super) next: u64,
    pub(super) versions: Vec<Kept>,
    pub(super) open: Option<Open>,
    /// An abandoned push is being undone, unless a step has finished it.
    pub(super) undoing: bool,
}

impl Dataset {
    pub(super) fn copies(&self) -> u32 {
        let stores = u32::try_from(self.stores.len()).unwrap();
        self.min_copies.map_or(stores, |copies| copies.min(stores))
    }
}

/// A committed version.
pub(super) struct Kept {
    pub(super) version: Version,
    pub(super) lease: PushLease,
    pub(super) tree: Tree,
    /// Contents of the paths that it put itself.
    pub(super) own: BTreeSet<u64>,
    pub(super) settled: Option<ChangesetStatus>,
}

pub(super) struct Open {
    pub(super) lease: PushLease,
    pub(super) version: Version,
    pub(super) client: &'static str,
    pub(super) lapsed: bool,
    pub(super) tree: Tree,
    /// Paths that this push has put.
    pub(super) own: BTreeSet<RelPath>,
    pub(super) batches: BTreeSet<u64>,
    /// What it was promised, or has sent, and not yet entered.
    pub(super) pins: BTreeSet<u64>,
}

impl Open {
    /// Of the paths that it has put itself.
    pub(super) fn contents(&self) -> BTreeSet<u64> {
        self.own.iter().filter_map(|at| self.tree.get(at)).flatten().copied().collect()
    }
}

pub(super) struct Job {
    /// Known from the first dispatch on.
    pub(super) id: Option<JobId>,
    pub(super) row: JobRow,
}

/// A claim that a worker has, or once had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) at: (Target, usize),
    pub(super) claim: ClaimRef,
    /// Whether there was anything to read when it was claimed.
    pub(super) readable: bool,
    /// The sealing that it was told to upload.
    pub(super) sealing: u64,
}

pub(super) struct State {
    pub(super) datasets: Vec<Dataset>,
    pub(super) blobs: BTreeMap<Key, Blob>,
    /// By target and store's place.
    pub(super) jobs: BTreeMap<(Target, usize), Job>,
    pub(super) messages: Vec<(usize, Ticket)>,
    pub(super) held: Vec<Held>,
    /// Leases that somebody else has, or nobody.
    pub(super) stale: Vec<PushLease>,
    /// Manifests by how they ended.
    pub(super) whole: BTreeSet<(ChangesetId, usize)>,
    pub(super) broken: BTreeSet<(ChangesetId, usize)>,
    pub(super) paused: [bool; 2],
    /// Batches and sealings are numbered through.
    pub(super) next: u64,
}

impl State {
    pub(super) fn new() -> Self {
        let dataset = |project, name, stores: &[usize], min_copies| Dataset {
            project,
            name,
            stores: stores.to_vec(),
            min_copies,
            next: 1,
            versions: Vec::new(),
            open: None,
            undoing: false,
        };
        let datasets = vec![
            dataset(0, "all", &[0, 1], None),
            dataset(0, "one suffices", &[0, 1], Some(1)),
            dataset(0, "one store", &[1], None),
            dataset(1, "all", &[0, 1], None),
        ];
        Self {
            datasets,
            blobs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            messages: Vec::new(),
            held: Vec::new(),
            stale: Vec::new(),
            whole: BTreeSet::new(),
            broken: BTreeSet::new(),
            paused: [false; 2],
            next: 1,
        }
    }

    pub(super) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn sourced(&self, key: Key) -> bool {
        self.blobs.get(&key).is_some_and(Blob::sourced)
    }

    /// Pinned by a push that is open; what abandoned ones pinned may go at any time.
    pub(super) fn pinned(&self, (project, content): Key) -> bool {
        let pins = |dataset: &Dataset| dataset.open.as_ref().is_some_and(|open| open.pins.contains(&content));
        self.datasets.iter().any(|dataset| dataset.project == project && pins(dataset))
    }

    /// Whether a row of any version, or of an open push, names the content.
    pub(super) fn referenced(&self, (project, content): Key) -> bool {
        let of = self.datasets.iter().filter(|dataset| dataset.project == project);
        let trees = of.flat_map(|dataset| {
            let kept = dataset.versions.iter().map(|kept| &kept.tree);
            kept.chain(dataset.open.as_ref().map(|open| &open.tree))
        });
        trees.into_iter().any(|tree| tree.values().flatten().any(|n| *n == content))
    }

    /// Where a committed changeset is: its dataset's place and its own.
    pub(super) fn kept(&self, changeset: ChangesetId) -> (usize, usize) {
        let found = self.datasets.iter().enumerate().find_map(|(d, dataset)| {
            Some((d, dataset.versions.iter().position(|kept| kept.lease.changeset == changeset)?))
        });
        found.unwrap_or_else(|| panic!("changeset {changeset} was never committed"))
    }

    pub(super) fn job_of(&self, id: JobId) -> Option<(Target, usize)> {
        self.jobs.iter().find(|(_, job)| job.id == Some(id)).map(|(at, _)| *at)
    }
}
