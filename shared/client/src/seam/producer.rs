//! Pushing: open, offer, send, entries, manifest, commit. The contracts are those of the catalog's methods of the same names.
//! Records that derive `Serialize` are what the HTTP API carries: changing one changes the API.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use n2s_domain::{
    BackendName, ChangesetId, ContentHash, DatasetName, EntryChange, Epoch, LeaseToken, ProjectName, RelPath,
    SealedHash, StoreKey, VaultId, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{PlainBlob, PlainCommit, PlainTerms, SealedRef, SeamError};

/// What a producer says when it opens a push.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenRequest {
    /// Made when absent.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Made when absent.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// The vault that seals.
    #[schema(value_type = String)]
    pub vault: VaultId,
    /// The dataset's name on stores.
    #[schema(value_type = String)]
    pub store_key: StoreKey,
    /// The producer's label.
    pub snapshot: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Who pushes; the same client may resume its own push.
    pub client_id: String,
    /// The producer's own keys and values.
    pub metadata: BTreeMap<String, String>,
    /// Stores for a dataset's first push; empty means all.
    #[schema(value_type = Vec<String>)]
    pub backends: Vec<BackendName>,
    /// Copies that make the changeset safe; `None` means on all stores.
    pub min_copies: Option<u32>,
    /// What to do about an open push.
    pub take_over: TakeOver,
}

/// What to do when a push of the dataset is open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TakeOver {
    /// Resume it if its lease lapsed and it is this client's.
    IfLapsed,
    /// Resume it if it is this client's, lapsed or not: the caller knows that its former self is dead.
    OwnEvenIfLive,
    /// Abandon it, whoever's it is.
    Abandon,
}

/// Proof of holding a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The changeset.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// The token.
    #[schema(value_type = Uuid)]
    pub token: LeaseToken,
}

/// An open push.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Opened {
    /// Every later call carries it.
    pub lease: Lease,
    /// Reserved for this push.
    #[schema(value_type = u64)]
    pub version: Version,
    /// What it builds on.
    pub parent: Option<Parent>,
    /// `Some` when an interrupted push goes on: the highest batch number recorded so far.
    pub resumed: Option<u64>,
    /// Batches recorded so far.
    pub recorded: u64,
    /// The stores it goes to.
    #[schema(value_type = Vec<String>)]
    pub backends: Vec<BackendName>,
    /// Contents to send again even where files are unchanged, because no source has them any more.
    #[schema(value_type = Vec<String>)]
    pub resend: Vec<ContentHash>,
}

/// The version a push builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parent {
    /// Its number.
    #[schema(value_type = u64)]
    pub version: Version,
    /// Its changeset.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// Its paths.
    pub file_count: u64,
}

/// The answer to one offered content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Send it.
    Missing,
    /// It is there and pinned until this push ends.
    Held(SealedHash),
}

/// A sealed blob to stage.
#[derive(Clone, Debug)]
pub struct SendBlob {
    /// BLAKE3 of the plaintext.
    pub content_hash: ContentHash,
    /// Plaintext bytes.
    pub size: u64,
    /// BLAKE3 of `bytes`; checked on arrival.
    pub sealed_hash: SealedHash,
    /// The epoch that sealed it.
    pub epoch: Epoch,
    /// The sealed object.
    pub bytes: Bytes,
}

/// A sealed manifest header or body.
#[derive(Clone, Debug)]
pub struct SealedObject {
    /// BLAKE3 of `bytes`; checked on arrival.
    pub sealed_hash: SealedHash,
    /// The sealed object.
    pub bytes: Bytes,
}

/// Which of a manifest's two lists a group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// The file list.
    List,
    /// The map from contents to sealings.
    Map,
}

/// A group of segments that covers versions `(since, through]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestGroup {
    /// Which list.
    pub kind: GroupKind,
    /// The version before its first; 0 for a base.
    #[schema(value_type = u64)]
    pub since: Version,
    /// Its last version.
    #[schema(value_type = u64)]
    pub through: Version,
    /// Lines in all its segments.
    pub entries: u64,
    /// Its segments in order.
    pub segments: Vec<SegmentRef>,
}

/// One segment: a sealed blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SegmentRef {
    /// The segment's plaintext.
    #[schema(value_type = String)]
    pub content_hash: ContentHash,
    /// Its accepted sealing.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Plaintext bytes.
    pub size: u64,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// A group this push adds; its segments have been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewGroup {
    /// Which list.
    pub kind: GroupKind,
    /// The version before its first.
    #[schema(value_type = u64)]
    pub since: Version,
    /// Lines in all its segments.
    pub entries: u64,
    /// Contents of its segments, in order.
    #[schema(value_type = Vec<String>)]
    pub segments: Vec<ContentHash>,
}

/// A blob and its accepted sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredBlob {
    /// The content.
    #[schema(value_type = String)]
    pub content_hash: ContentHash,
    /// Its sealing.
    #[schema(value_type = String)]
    pub sealed_hash: SealedHash,
    /// Its epoch.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
    /// Sealed bytes.
    pub encrypted_size: u64,
}

/// Counts over the open version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionCounts {
    /// Paths of every kind.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// List lines a delta from the parent needs.
    pub changed: u64,
    /// Paths of the parent that are gone.
    pub removed: u64,
}

/// What commit says.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Distinct batches of entries sent, over all resumptions.
    pub batches: u64,
    /// The sealed manifest header.
    pub header: SealedObject,
    /// The sealed manifest body.
    pub body: SealedObject,
}

/// The answer to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Committed {
    /// The version that is now the head.
    #[schema(value_type = u64)]
    pub version: Version,
}

/// The side a push talks to.
#[async_trait]
pub trait Producer: fmt::Debug + Send + Sync + 'static {
    /// The catalog's own id; manifests carry it.
    async fn catalog_id(&self) -> Result<Uuid, SeamError>;

    /// Opens or resumes a push. `Held { undoing: true }` while an abandoned one is being undone.
    async fn open(&self, request: &OpenRequest) -> Result<Opened, SeamError>;

    /// Extends the lease; every other call does so, too.
    async fn renew(&self, lease: &Lease) -> Result<(), SeamError>;

    /// Says of each content, in the order given, whether to send it.
    async fn offer(&self, lease: &Lease, contents: &[ContentHash]) -> Result<Vec<Offered>, SeamError>;

    /// Stages sealed blobs, durably, and returns the sealing that counts for each, in the order given.
    async fn send(&self, lease: &Lease, blobs: Vec<SendBlob>) -> Result<Vec<SealedHash>, SeamError>;

    /// Records one numbered batch of changes; sending it twice records it once. Numbers start at 1.
    async fn entries(&self, lease: &Lease, batch: u64, changes: &[EntryChange]) -> Result<(), SeamError>;

    /// The groups of the parent's lists, base first.
    async fn manifest_groups(&self, lease: &Lease) -> Result<Vec<ManifestGroup>, SeamError>;

    /// Counts of the version as recorded so far.
    async fn version_counts(&self, lease: &Lease) -> Result<VersionCounts, SeamError>;

    /// Differences between version `since` and this push, by path, after `after`; every path when `since` is 0.
    async fn manifest_changes(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, SeamError>;

    /// Blobs that rows later than `since` reference, by content, after `after`.
    async fn manifest_blobs(
        &self,
        lease: &Lease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, SeamError>;

    /// Sealings replaced since the parent: old, new.
    async fn replaced_sealings(&self, lease: &Lease) -> Result<Vec<(SealedHash, SealedHash)>, SeamError>;

    /// Adds groups; a second call replaces the first's.
    async fn record_groups(&self, lease: &Lease, groups: &[NewGroup]) -> Result<(), SeamError>;

    /// Stages header and body, and commits. Safe to repeat when the answer was lost.
    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Committed, SeamError>;

    /// What to know before a push whose contents the other side seals. `Invalid` when it has no vault.
    async fn plain_terms(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<PlainTerms, SeamError>;

    /// Seals contents and stages them, durably; answers in the order given.
    async fn send_plain(&self, lease: &Lease, blobs: Vec<PlainBlob>) -> Result<Vec<SealedRef>, SeamError>;

    /// As [`Self::commit`]; the other side seals header and body.
    async fn commit_plain(&self, lease: &Lease, commit: PlainCommit) -> Result<Committed, SeamError>;

    /// Gives the push up; its rows are undone.
    async fn abandon(&self, lease: &Lease) -> Result<(), SeamError>;
}
