//! What the catalog vouches for, when each copy was last proven, and what was found damaged.
//!
//! A copy's proof is the last time its bytes were read back and were right; until then it is the moment the store
//! acknowledged them. Oldest proof first is the whole schedule: it needs no plan that could be lost, it goes on where a killed
//! validator stopped, and what is one in N of everything now is another one in N the next time. Rejected: classes by hash and a
//! counter of rounds, which cover as much but in an order that no longer says what is overdue.
//!
//! That an object exists is kept apart from what its bytes are: a look at existence must not put off a reading.

use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{
    BackendId, BackendName, BlobId, ChangesetId, ContentHash, DatasetName, FailureKind, ProjectName,
    ProofLevel, RelPath, SealedHash, StoreKey, Timestamp, Version,
};

use crate::CatalogError;

/// Something on a store that the catalog says is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vouched {
    /// A sealed blob.
    Blob(BlobId),
    /// A version's manifest: header and body.
    Manifest(ChangesetId),
}

/// A copy and its last proof. The order is the order of proving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof {
    /// When the copy was last proven, at the level asked about, or else acknowledged.
    pub proven_at: Timestamp,
    /// What.
    pub object: Vouched,
    /// Where.
    pub backend: BackendId,
    /// Its bytes.
    pub bytes: u64,
}

/// Some proofs, and where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofPage {
    /// Each copy once in all pages together. May be empty although more pages follow.
    pub proofs: Vec<Proof>,
    /// For the next call; `None` at the end. Opaque.
    pub next: Option<String>,
}

/// Which copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetScope {
    /// Of this project.
    pub project: ProjectName,
    /// Of this dataset, in all its versions.
    pub dataset: DatasetName,
    /// On this store only.
    pub backend: Option<BackendId>,
    /// Which proof counts.
    pub level: ProofLevel,
}

/// What to look for on the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofTarget {
    /// A sealed blob, under its own name.
    Blob {
        /// What it opens to.
        content_hash: ContentHash,
        /// Its name, and the digest of its bytes.
        sealed_hash: SealedHash,
        /// Its bytes.
        bytes: u64,
    },
    /// A version's header and body.
    Manifest {
        /// Its project.
        project: ProjectName,
        /// Its dataset.
        dataset: DatasetName,
        /// Its version.
        version: Version,
        /// The dataset's name on the store.
        store_key: StoreKey,
        /// Digest and bytes of the header.
        header: (SealedHash, u64),
        /// Digest and bytes of the body.
        body: (SealedHash, u64),
    },
}

/// A copy that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub object: Vouched,
    /// Where.
    pub backend: BackendId,
    /// The digest that was looked for: of the blob, or of the manifest's header. A blob that was sealed anew meanwhile is another.
    pub sealed_hash: SealedHash,
    /// `NotFound` or `Corrupt`.
    pub kind: FailureKind,
    /// In words, with the object's name.
    pub message: String,
}

/// What somebody would miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Its project.
    pub project: ProjectName,
    /// Its dataset.
    pub dataset: DatasetName,
    /// The first version that has it.
    pub version: Version,
    /// The path; `None` for a part of the version's manifest.
    pub path: Option<RelPath>,
}

/// A run to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValidation {
    /// The store.
    pub backend: BackendId,
    /// The dataset; `None` for everything on the store, which only one validator at a time does.
    pub scope: Option<(ProjectName, DatasetName)>,
    /// How thoroughly.
    pub level: ProofLevel,
    /// One copy in so many.
    pub one_in: u64,
    /// For a run over everything: how long it stays the only one without a record.
    pub lease: Duration,
}

/// A run under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationRun {
    /// Its row.
    pub id: i64,
    /// When it began: what was proven since then is not proven again.
    pub started_at: Timestamp,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationEnd {
    /// Copies that could not be looked at.
    pub unchecked: u64,
    /// Why the run stopped before its end, if it did.
    pub stopped: Option<String>,
}

/// Which damages to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamageScope {
    /// In this project.
    pub project: Option<ProjectName>,
    /// In this dataset.
    pub dataset: Option<DatasetName>,
    /// On this store.
    pub backend: Option<BackendName>,
}

/// A copy that was found damaged and has not been replaced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamageRecord {
    /// What.
    pub object: Vouched,
    /// Where.
    pub backend: BackendName,
    /// Since when it is known.
    pub since: Timestamp,
    /// False once the repair has been given up.
    pub pending: bool,
    /// No staged object and no completed copy is left: the content has to be pushed again.
    pub lost: bool,
    /// The latest words about it.
    pub message: String,
}

/// How well a store's copies are proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofOverview {
    /// Every completed copy's bytes were proven, or acknowledged, since then; `None` without any, or when one is in doubt.
    pub oldest: Option<Timestamp>,
    /// Copies found damaged and not replaced yet.
    pub damaged: u64,
    /// The latest run.
    pub last: Option<ValidationRecord>,
}

/// A run, as far as it has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationRecord {
    /// How thoroughly.
    pub level: ProofLevel,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Copies proven or found damaged.
    pub checked: u64,
    /// The bytes of those proven.
    pub bytes: u64,
    /// Copies found damaged.
    pub damaged: u64,
    /// How it ended.
    pub end: ValidationEnd,
}

/// Proofs and damages.
#[async_trait]
pub trait Validation {
    /// Begins a run. `None` when another one over everything on this store is alive.
    async fn begin_validation(&self, run: &NewValidation) -> Result<Option<ValidationRun>, CatalogError>;

    /// Extends a run's life and tells the time. `None` when it has ended: somebody else goes on.
    async fn keep_validation(&self, run: ValidationRun) -> Result<Option<Timestamp>, CatalogError>;

    /// Ends a run.
    async fn end_validation(&self, run: ValidationRun, end: &ValidationEnd) -> Result<(), CatalogError>;

    /// A page of all copies of a dataset, each once, in no particular order; reads the dataset's rows and no others.
    async fn dataset_proofs(
        &self,
        scope: &DatasetScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError>;

    /// A page of a store's copies whose bytes were last proven before `before`: manifests first, then blobs, oldest proof
    /// first. Costs what it returns.
    async fn oldest_proofs(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, CatalogError>;

    /// What to look for, in the order asked; `None` where the catalog no longer vouches for the copy.
    async fn proof_targets(&self, proofs: &[Proof]) -> Result<Vec<Option<ProofTarget>>, CatalogError>;

    /// Notes that copies were proven now, and extends the run's life. False when the run has been taken over: stop.
    async fn record_proofs(
        &self,
        run: ValidationRun,
        level: ProofLevel,
        proofs: &[Proof],
    ) -> Result<bool, CatalogError>;

    /// Takes back the proof of copies that somebody could not read: they are the first to be proven. Whoever only wanted to read does
    /// not know whether the copy or its store is at fault, and says no more than this.
    async fn doubt(&self, copies: &[(Vouched, BackendId)]) -> Result<(), CatalogError>;

    /// Marks copies damaged and makes the jobs that replace them. Changesets whose own rows reference them begin a new
    /// generation: `degraded` while `min_copies` are whole elsewhere, otherwise `pushing`. Headers on their way to that store wait
    /// until nothing of their versions is missing there. A blob that thereby loses its last source becomes unsourced. Answers in
    /// the order given: false where the catalog no longer vouched for that copy.
    async fn record_damage(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, CatalogError>;

    /// Up to `limit` places that need an object.
    async fn affected(&self, object: Vouched, limit: u32) -> Result<Vec<Affected>, CatalogError>;

    /// Damages that have not been made good, oldest first, at most `limit`. Costs what it returns.
    async fn damages(&self, scope: &DamageScope, limit: u32) -> Result<Vec<DamageRecord>, CatalogError>;

    /// How well a store's copies are proven. Costs three looks into indexes, and what is damaged.
    async fn proof_overview(&self, backend: BackendId) -> Result<ProofOverview, CatalogError>;
}
