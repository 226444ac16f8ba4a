//! Jobs: dispatch, claim, heartbeat, finish, sweep. The transitions are `n2s_domain::job::step`, in SQL.

use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::fairness::DueGroup;
use n2s_domain::{
    BackendId, BlobId, ChangesetId, Epoch, FailureKind, JobId, SealedHash, StoreKey, Timestamp, Traceparent,
    VaultId, Version,
};

use crate::CatalogError;
use crate::staging::StagedKey;

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// One blob onto one store.
    Upload,
    /// One version's body, header and head onto one store, after all its blobs.
    Manifest,
}

/// How many jobs of one changeset to dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The group's changeset row, as `due_groups` named it.
    pub changeset: i64,
    /// At most this many.
    pub limit: u32,
}

/// A dispatched job: what the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The job.
    pub job: JobId,
    /// The dispatch it belongs to; later dispatches make it stale.
    pub dispatch_seq: u64,
}

/// A claim to name in heartbeats and outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClaimRef {
    /// The job.
    pub job: JobId,
    /// The claim; later claims fence it off.
    pub epoch: u64,
}

/// On which terms a worker takes jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The worker, for people.
    pub worker: String,
    /// How long a claim lives without a heartbeat.
    pub lease: Duration,
    /// How long it lives at most.
    pub held_max: Duration,
}

/// A job a worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// To name it.
    pub claim: ClaimRef,
    /// The store to write to.
    pub backend: BackendId,
    /// Failures the object has been charged with so far.
    pub retry_count: u32,
    /// It must run with nothing beside it in the process.
    pub alone: bool,
    /// What to do.
    pub target: ClaimTarget,
}

/// What a claimed job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimTarget {
    /// A blob.
    Upload(UploadTarget),
    /// A manifest.
    Manifest(Box<ManifestTarget>),
}

/// A blob to upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTarget {
    /// The blob.
    pub blob: BlobId,
    /// Its name on the store, and the digest of its bytes.
    pub sealed_hash: SealedHash,
    /// Sealed bytes.
    pub encrypted_size: u64,
    /// The vault and epoch that sealed it; their objects go first.
    pub vault: VaultId,
    /// See `vault`.
    pub epoch: Epoch,
    /// Where it lies in staging, if it still does; otherwise see [`Jobs::copies`].
    pub staged: Option<StagedKey>,
    /// What the store has under the name was found damaged: it is to be replaced, whatever it looks like.
    pub repair: bool,
}

/// A manifest to copy, body first, then header, then the advisory head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestTarget {
    /// The changeset.
    pub changeset: ChangesetId,
    /// The dataset's name on the store.
    pub store_key: StoreKey,
    /// The version.
    pub version: Version,
    /// The vault that sealed it.
    pub vault: VaultId,
    /// `manifest-body.json`.
    pub body: ManifestObject,
    /// `manifest-header.json`.
    pub header: ManifestObject,
    /// See [`UploadTarget::repair`].
    pub repair: bool,
}

/// A manifest's header or body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestObject {
    /// The digest of its bytes.
    pub sealed_hash: SealedHash,
    /// Its bytes.
    pub size: u64,
    /// Where it lies in staging, if it still does; otherwise a store whose manifest is completed has it.
    pub staged: Option<StagedKey>,
}

/// A completed placement that can serve as a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The store.
    pub backend: BackendId,
    /// Where on it, when not under the blob's own name.
    pub location: Option<String>,
}

/// A worker's outcome for one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The claim.
    pub claim: ClaimRef,
    /// As judged.
    pub outcome: Outcome,
}

/// What became of a claim. Delays, not instants: the database adds them to its own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store acknowledged the exact bytes.
    Stored {
        /// Where, when it cannot be derived from the name.
        location: Option<String>,
    },
    /// Pending again.
    Retry {
        /// After this long.
        after: Duration,
        /// Whether it costs one of the object's attempts.
        charged: bool,
        /// Why; `None` for a hand-back at shutdown.
        error: Option<(FailureKind, String)>,
    },
    /// Given up.
    Failed {
        /// Why.
        kind: FailureKind,
        /// In words.
        message: String,
    },
}

/// The answer to a batch of outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishReport {
    /// In the order given: false where the claim had been fenced off and the outcome was discarded.
    pub accepted: Vec<bool>,
    /// Objects struck out of staging by this transaction; the caller deletes them now.
    pub freed: Vec<StagedKey>,
}

/// What a sweep changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Queued jobs whose message never led to a claim.
    pub requeued: u64,
    /// Leases that lapsed.
    pub lost: u64,
    /// Jobs failed because their holders kept disappearing.
    pub failed: u64,
    /// Due times and deadlines that lay further ahead than any delay can be: the clock was set back.
    pub clamped: u64,
}

/// A store's live jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting in the catalog.
    pub pending: u64,
    /// Of those, due now.
    pub due: u64,
    /// In the queue.
    pub queued: u64,
    /// With workers.
    pub leased: u64,
    /// The longest a due job has been waiting.
    pub oldest_due: Option<Timestamp>,
    /// When the next pending job becomes due, if none is due now.
    pub next_due: Option<Timestamp>,
}

/// What a store has to do, and since when: for whoever watches over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// In the queue.
    pub queued: u64,
    /// With workers.
    pub leased: u64,
    /// Of both, those about blobs: in the totals of a store these are pending placements.
    pub held_uploads: u64,
    /// Copies known to be damaged.
    pub damaged: u64,
    /// For how long the first due job has been due.
    pub due_for: Option<Duration>,
    /// For how long the first queued job has been queued, if it was for [`n2s_domain::limits::QUEUED_MAX`].
    pub queued_for: Option<Duration>,
    /// For how long the first leased job has been held, if it may be for [`n2s_domain::limits::JOB_HELD_MAX`].
    pub leased_for: Option<Duration>,
    /// For how long the first failed placement has been failed.
    pub failed_for: Option<Duration>,
    /// The age of the oldest proof of a blob; one that was never proven counts from its upload.
    pub proof_age: Option<Duration>,
}

/// Jobs.
#[async_trait]
pub trait Jobs {
    /// The changesets with due jobs for a store, counting at most `count_max` each; a loose index scan, never all jobs.
    async fn due_groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, CatalogError>;

    /// Marks due jobs queued with the next `dispatch_seq` and a deadline. Publish only after this has answered.
    async fn dispatch(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, CatalogError>;

    /// The traces that jobs belong to: those of their changesets, as their producers named them. Jobs without one are missing.
    async fn traces(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, CatalogError>;

    /// Puts jobs whose message was refused or returned back to pending, unless they have moved on.
    async fn unpublish(&self, tickets: &[Ticket]) -> Result<(), CatalogError>;

    /// Claims what is still queued under these tickets; the rest is stale and simply missing from the answer.
    /// Ack only after this has answered.
    async fn claim(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, CatalogError>;

    /// Extends leases; returns the claims that are still held. The rest have been fenced off: stop working on them.
    async fn heartbeat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, CatalogError>;

    /// Records outcomes: rows, placements, waiters, completion deltas and what leaves staging, in one transaction.
    async fn finish(&self, outcomes: &[Finish]) -> Result<FinishReport, CatalogError>;

    /// Where else than in staging a blob can be read.
    async fn copies(&self, blob: BlobId) -> Result<Vec<Copy>, CatalogError>;

    /// Stores whose copy of a changeset's manifest is completed.
    async fn manifest_copies(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, CatalogError>;

    /// Returns queued jobs past their deadline and leased jobs past their lease to pending.
    async fn sweep_jobs(&self, limit: u32) -> Result<SweepReport, CatalogError>;

    /// Returns every queued and leased job to pending at once: a new engine took over the home. Counts nobody's loss.
    async fn take_over_jobs(&self) -> Result<u64, CatalogError>;

    /// Returns every queued job to pending at once: the broker lost its messages. Leased jobs go on.
    async fn requeue_jobs(&self) -> Result<u64, CatalogError>;

    /// Jobs of a store that are queued or leased. Costs no more than there are.
    async fn in_window(&self, backend: BackendId) -> Result<u64, CatalogError>;

    /// Live jobs of each store, for people: counts every one.
    async fn depths(&self) -> Result<Vec<(BackendId, Depth)>, CatalogError>;

    /// What each store has to do, for machines that ask every few seconds: costs what is queued, leased or damaged, and a step for
    /// each changeset that waits; never what is pending or done.
    async fn backlogs(&self) -> Result<Vec<(BackendId, Backlog)>, CatalogError>;
}
