//! What operators see. The same records are the HTTP API's answers and the documents of `--output json`: their fields are stable.

mod changesets;
mod failures;
mod listings;
mod paths;
mod proofs;
mod stores;
mod tokens;

pub use changesets::{ChangesetFilter, ChangesetRecord, ManifestState, StoreProgress};
pub use failures::{Cancelled, FailedFilter, FailedUpload, Retried};
pub use listings::{Listing, Paging};
pub use paths::{ListedFile, PathKind, SearchFilter, SearchHit};
pub use proofs::{
    Damage, DamageFilter, FoundDamage, NeededBy, ProofProgress, StoreProof, SyncCall, SyncNext, SyncStep,
    ValidateReport, ValidateRequest,
};
pub use stores::{
    BackendStatus, DatasetStatus, Drift, LaneStatus, Overview, PausedBy, StagingTotals, StoreError,
    StoreState, ValidationStatus,
};
pub use tokens::{MadeToken, TokenRequest, TokenStatus};
