//! What the client needs from the other side, whether that is `intake` in the same process or over HTTP.
//!
//! Three traits: a [`Producer`] pushes, a [`Reader`] looks and pulls, an [`Operator`] asks what is where and does something about it. Their records mirror the catalog's, but are the client's own:
//! a laptop client must build without a database.

mod error;
mod moment;
mod operator;
mod plain;
mod producer;
mod reader;
mod records;

pub use error::SeamError;
pub use moment::Moment;
pub use operator::{Operator, ProofWatch};
pub use plain::{FirstSeen, PlainBlob, PlainCommit, PlainTerms, SealedRef};
pub use producer::{
    Commit, Committed, GroupKind, Lease, ManifestGroup, NewGroup, Offered, OpenRequest, Opened, Parent,
    Producer, SealedObject, SegmentRef, SendBlob, StoredBlob, TakeOver, VersionCounts,
};
pub use reader::{BadCopy, Fetched, FileBlob, FileRow, Page, Reader, Selector, VersionRef};
pub use records::{
    BackendStatus, Cancelled, ChangesetFilter, ChangesetRecord, Damage, DamageFilter, DatasetStatus, Drift,
    FailedFilter, FailedUpload, FoundDamage, LaneStatus, ListedFile, Listing, MadeToken, ManifestState,
    NeededBy, Overview, Paging, PathKind, PausedBy, ProofProgress, Retried, SearchFilter, SearchHit,
    StagingTotals, StoreError, StoreProgress, StoreProof, StoreState, SyncCall, SyncNext, SyncStep,
    TokenRequest, TokenStatus, ValidateReport, ValidateRequest, ValidationStatus,
};
