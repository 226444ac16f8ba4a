//! A push: open, offer, stage, entries, commit; or abandon and undo.
//!
//! Versions are half-open ranges on file rows. A push at version N gives new rows `from = N` and ends old ones with
//! `to = N`; rows above the dataset's head are invisible, so commit only advances the head.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{
    BackendName, ChangesetId, ContentHash, DatasetName, EntryChange, Epoch, LeaseToken, ProjectName,
    SealedHash, StoreKey, Timestamp, VaultId, Version,
};

use crate::CatalogError;
use crate::staging::StagedKey;

/// The key of a changeset's metadata that names its trace. A producer's own context may stand there as well; it needs no column, and is
/// seen where the changeset is looked at.
pub const METADATA_TRACE: &str = "traceparent";

/// What a producer says when it opens a push.
#[derive(Clone, Debug)]
pub struct OpenPush {
    /// The id the changeset gets unless an open one is resumed.
    pub changeset: ChangesetId,
    /// The token the lease gets.
    pub token: LeaseToken,
    /// Made, and bound to `vault`, when absent.
    pub project: ProjectName,
    /// Made when absent.
    pub dataset: DatasetName,
    /// The vault that seals.
    pub vault: VaultId,
    /// The dataset's name on stores.
    pub store_key: StoreKey,
    /// The producer's label.
    pub snapshot: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Who pushes; the same client may resume its own push.
    pub client_id: String,
    /// The producer's own keys and values; [`METADATA_TRACE`] among them when the push belongs to a trace.
    pub metadata: BTreeMap<String, String>,
    /// Stores for a dataset's first push; empty means all active ones. Later pushes give the same set or none.
    pub backends: Vec<BackendName>,
    /// Copies that make the changeset safe; `None` means on all stores.
    pub min_copies: Option<u32>,
    /// What to do about an open push.
    pub take_over: TakeOver,
    /// How long the lease lives without a call.
    pub lease: Duration,
}

/// What to do when a push of the dataset is open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Resume it if its lease lapsed and it is this client's; otherwise `Held`.
    IfLapsed,
    /// Resume it if it is this client's, lapsed or not: the caller knows that its former self is dead.
    OwnEvenIfLive,
    /// Abandon it, whoever's it is. The answer is `Undoing` until the undo has finished.
    Abandon,
}

/// An open push.
#[derive(Clone, Debug)]
pub struct OpenedPush {
    /// The id and token that every later call carries.
    pub lease: PushLease,
    /// Reserved for this push, and never given to another.
    pub version: Version,
    /// The dataset's head, on which this push builds.
    pub parent: Option<Parent>,
    /// `Some(n)` when an interrupted push goes on: the highest batch number recorded so far, zero for none.
    pub resumed: Option<u64>,
    /// Batches recorded so far; numbers may have gaps where an interruption fell between them.
    pub recorded: u64,
    /// The stores this push goes to.
    pub backends: Vec<BackendName>,
    /// Contents of the parent that no source has any more (normally none): send them again even where files are unchanged.
    pub resend: Vec<ContentHash>,
    /// When the lease lapses.
    pub lease_until: Timestamp,
}

/// The version a push builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its number.
    pub version: Version,
    /// Its changeset.
    pub changeset: ChangesetId,
    /// Its paths, of every kind, the root included when recorded.
    pub file_count: u64,
}

/// Proof of holding a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLease {
    /// The changeset.
    pub changeset: ChangesetId,
    /// The token.
    pub token: LeaseToken,
}

/// The answer to one offered hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Send it.
    Missing,
    /// It has a source and is pinned until this push ends; this is its accepted sealing.
    Held(SealedHash),
}

/// A sealed blob that lies in staging, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedBlob {
    /// BLAKE3 of the plaintext.
    pub content_hash: ContentHash,
    /// Plaintext bytes.
    pub size: u64,
    /// Sealed bytes.
    pub encrypted_size: u64,
    /// The epoch that sealed it.
    pub epoch: Epoch,
    /// Where in staging; its `sealed_hash` is the sealing's.
    pub staged: StagedKey,
}

/// The answer to one staged blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The content.
    pub content_hash: ContentHash,
    /// The sealing the catalog keeps: the first one accepted, not always the one just sent.
    pub sealed_hash: SealedHash,
    /// False when the sent object is not needed: delete it from staging.
    pub keep_staged: bool,
}

/// The answer to a batch of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntriesRecorded {
    /// New upload jobs.
    pub jobs: u64,
    /// True when this batch number had been recorded before; nothing was changed now.
    pub repeated: bool,
}

/// A sealed object in staging that is not a blob: a manifest's header or body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedObject {
    /// Where in staging.
    pub staged: StagedKey,
    /// Sealed bytes.
    pub size: u64,
}

/// What commit says.
#[derive(Clone, Debug)]
pub struct CommitPush {
    /// Distinct batches of entries sent, over all resumptions.
    pub batches: u64,
    /// The sealed manifest header.
    pub header: StagedObject,
    /// The sealed manifest body.
    pub body: StagedObject,
}

/// The answer to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version that is now the head.
    pub version: Version,
    /// True when the changeset had been committed before (the answer was lost).
    pub repeated: bool,
}

/// Versions of a dataset that lie on stores and that this catalog may know nothing of: it was restored from an older copy of itself.
#[derive(Clone, Debug)]
pub struct StepOver {
    /// Made, and bound to `vault`, when absent.
    pub project: ProjectName,
    /// Made when absent; its first push then chooses its stores.
    pub dataset: DatasetName,
    /// The vault that sealed them.
    pub vault: VaultId,
    /// The dataset's name on stores.
    pub store_key: StoreKey,
    /// The highest of them.
    pub latest: Version,
}

/// The number of the version that a dataset's next push gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteppedOver {
    /// Before.
    pub from: Version,
    /// From now on.
    pub to: Version,
}

/// The life of a push.
#[async_trait]
pub trait Pushes {
    /// Opens a push, or resumes one. Reserves the next version under the dataset's write lease.
    ///
    /// Fails with `Held`, `Undoing`, `WrongVault`, `BackendsFixed`, `NoBackends` or `Unknown` (a backend).
    async fn open_push(&self, open: &OpenPush) -> Result<OpenedPush, CatalogError>;

    /// Extends the lease. Every other call of the push does so, too.
    async fn renew_push(&self, lease: &PushLease, for_: Duration) -> Result<Timestamp, CatalogError>;

    /// Says of each content, in the order given, whether it must be sent; pins those that need not be.
    async fn offer(&self, lease: &PushLease, contents: &[ContentHash]) -> Result<Vec<Offered>, CatalogError>;

    /// Records blobs that lie in staging, in the order given. The first accepted sealing of a content in a project is kept
    /// while it has a source; where it has none left, the new sealing replaces it and the replacement is recorded.
    async fn record_staged(
        &self,
        lease: &PushLease,
        blobs: &[StagedBlob],
    ) -> Result<Vec<Accepted>, CatalogError>;

    /// Records one numbered batch of changes: ends and adds file rows, adds absent placements and their jobs, re-arms failed
    /// placements, records waiters. Batches may arrive in any order and more than once. Fails with `Unsourced`, changing
    /// nothing, when a blob is neither staged nor completed anywhere.
    async fn record_entries(
        &self,
        lease: &PushLease,
        batch: u64,
        changes: &[EntryChange],
    ) -> Result<EntriesRecorded, CatalogError>;

    /// Commits: checks lease, batch count, head and sources, keeps the manifest, advances the head. O(1).
    async fn commit_push(&self, lease: &PushLease, commit: &CommitPush) -> Result<Committed, CatalogError>;

    /// Starts the undo of an open push. With `lease` only its holder's; without, an operator's decision.
    async fn abandon_push(
        &self,
        changeset: ChangesetId,
        lease: Option<&PushLease>,
    ) -> Result<(), CatalogError>;

    /// Starts the undo of pushes idle for longer than `idle`.
    async fn abandon_idle(&self, idle: Duration) -> Result<u64, CatalogError>;

    /// Undoes up to `limit` rows of abandoned pushes; true while more remains.
    async fn undo_step(&self, limit: u32) -> Result<bool, CatalogError>;

    /// Lets the next push's version be above `latest`; never lowers it. A push that is open keeps the number it has. Fails with `WrongVault`.
    async fn step_over(&self, past: &StepOver) -> Result<SteppedOver, CatalogError>;
}
