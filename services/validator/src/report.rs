//! What a run found.

use n2s_catalog::{Affected, Vouched};
use n2s_domain::{BackendId, BackendName, FailureKind};

/// A run over a dataset.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Store by store.
    pub stores: Vec<StoreReport>,
}

/// What a run found on one store.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// The store.
    pub backend: BackendName,
    /// Copies that were looked at with an answer.
    pub checked: u64,
    /// The bytes of those whose bytes were read.
    pub bytes: u64,
    /// Copies found damaged, [`FOUND_MAX`] of them in `found`.
    pub damaged: u64,
    /// What was found.
    pub found: Vec<Found>,
    /// Copies that could not be looked at, which is not damage.
    pub unchecked: u64,
    /// Why the first of those could not be looked at.
    pub unchecked_why: Option<String>,
    /// Why the run stopped before its end here.
    pub stopped: Option<String>,
}

/// Damages told one by one; a disk that lost everything is told by its count.
pub const FOUND_MAX: usize = 1_000;

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A sealed blob: a file, a part of one, or a part of a version's lists.
    Blob,
    /// A version's manifest.
    Manifest,
    /// An epoch's key object, or the marker `n2s.json`.
    Key,
}

impl What {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
            Self::Key => "key",
        }
    }
}

/// One damage.
#[derive(Clone, Debug)]
pub struct Found {
    /// What.
    pub what: What,
    /// Its row; `None` for keys, which the catalog holds itself and which were replaced at once.
    pub object: Option<Vouched>,
    /// The store's row.
    pub store: BackendId,
    /// The object's name on the store.
    pub key: String,
    /// `NotFound` or `Corrupt`.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
    /// Some of the places that need it.
    pub affected: Vec<Affected>,
}

impl StoreReport {
    pub(crate) fn new(backend: BackendName) -> Self {
        Self {
            backend,
            checked: 0,
            bytes: 0,
            damaged: 0,
            found: Vec::new(),
            unchecked: 0,
            unchecked_why: None,
            stopped: None,
        }
    }

    pub(crate) fn found(&mut self, found: Found) {
        self.damaged += 1;
        if self.found.len() < FOUND_MAX {
            self.found.push(found);
        }
    }
}

impl Report {
    /// Sums of `checked`, `bytes`, `damaged` and `unchecked`.
    pub fn totals(&self) -> [u64; 4] {
        let sum = |of: fn(&StoreReport) -> u64| self.stores.iter().map(of).sum();
        [sum(|s| s.checked), sum(|s| s.bytes), sum(|s| s.damaged), sum(|s| s.unchecked)]
    }
}
