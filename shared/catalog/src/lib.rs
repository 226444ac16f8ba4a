#![doc = include_str!("../README.md")]

pub mod audit;
pub mod backends;
pub mod completion;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decisions;
pub mod error;
pub mod jobs;
pub mod library;
pub mod manifests;
pub mod operate;
pub mod pushes;
pub mod rows;
pub mod staging;
pub mod syncing;
pub mod timed;
pub mod tokens;
pub mod validation;
pub mod vaults;

use std::fmt;

pub use audit::{Audit, Drift};
pub use backends::{
    BackendHealth, BackendRecord, BackendState, BackendTally, Backends, HealthReport, LANE_KEPT,
    LANE_SILENCE_MAX, LaneRecord, LaneReport,
};
pub use completion::{Completion, Settled};
pub use error::{CatalogError, Held};
pub use jobs::{
    Backlog, Claim, ClaimRef, ClaimTarget, Copy, Depth, Finish, FinishReport, JobKind, Jobs, LeaseTerms,
    ManifestObject, ManifestTarget, Outcome, Pick, SweepReport, Ticket, UploadTarget,
};
pub use library::{
    BlobOwner, ChangesetFilter, ChangesetRecord, ChangesetStore, DatasetRecord, FileRow, Library,
    ManifestState, Page, Placement, SearchHit, Selector, VersionRef,
};
pub use manifests::{GroupKind, ManifestGroup, Manifests, NewGroup, SegmentRef, StoredBlob, VersionCounts};
pub use operate::{FailedFilter, FailedUpload, Operate, Retried};
pub use pushes::{
    Accepted, CommitPush, Committed, EntriesRecorded, METADATA_TRACE, Offered, OpenPush, OpenedPush, Parent,
    PushLease, Pushes, StagedBlob, StagedObject, StepOver, SteppedOver, TakeOver,
};
pub use staging::{StagedKey, StagingBook};
pub use syncing::{SyncStep, Syncing};
pub use tokens::{NewToken, TokenHash, TokenRecord, Tokens};
pub use validation::{
    Affected, Damage, DamageRecord, DamageScope, DatasetScope, NewValidation, Proof, ProofOverview,
    ProofPage, ProofTarget, Validation, ValidationEnd, ValidationRecord, ValidationRun, Vouched,
};
pub use vaults::{VaultObjects, Vaults};

/// The catalog: what every process agrees on. One method is one intention is one transaction; everything is bulk.
///
/// Times are UTC by the database's clock: durations go in, instants come out, and nobody compares a lease with a clock
/// of their own. All methods are safe to call twice with the same arguments: the second call finds its work done.
pub trait Catalog:
    fmt::Debug
    + Vaults
    + Backends
    + Pushes
    + Manifests
    + Jobs
    + Completion
    + StagingBook
    + Library
    + Operate
    + Syncing
    + Tokens
    + Validation
    + Audit
    + Send
    + Sync
    + 'static
{
}
