//! Operating: what is where, what failed and why, and doing something about it. What people and dashboards ask.

use std::fmt;

use async_trait::async_trait;
use n2s_domain::{BackendName, ChangesetId, PathSpan, RelPath, TokenId};

use tokio_util::sync::CancellationToken;

use super::records::{
    BackendStatus, Cancelled, ChangesetFilter, ChangesetRecord, Damage, DamageFilter, Drift, FailedFilter,
    FailedUpload, ListedFile, Listing, MadeToken, Overview, Paging, Retried, SearchFilter, SearchHit,
    SyncCall, SyncStep, TokenRequest, TokenStatus, ValidateReport, ValidateRequest,
};
use super::{Page, SeamError, VersionRef};

/// Who wants to know how far a validation is.
pub trait ProofWatch: Send + Sync {
    /// So many more copies and bytes are to be proven.
    fn total(&self, copies: u64, bytes: u64);
    /// So many more were looked at, and so many of them were damaged.
    fn checked(&self, copies: u64, bytes: u64, damaged: u64);
}

/// The side that operators talk to.
#[async_trait]
pub trait Operator: fmt::Debug + Send + Sync + 'static {
    /// Stores, staging and datasets.
    async fn overview(&self) -> Result<Overview, SeamError>;

    /// Every store that ever was, by name.
    async fn backends(&self) -> Result<Vec<BackendStatus>, SeamError>;

    /// Changesets, newest first.
    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        paging: &Paging,
    ) -> Result<Listing<ChangesetRecord>, SeamError>;

    /// One changeset; `Unknown` when there is none.
    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, SeamError>;

    /// A page of what of a version's tree lies in `within`, in path order, with the stores that hold all of each file.
    async fn files(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<ListedFile>, SeamError>;

    /// Paths of latest versions whose name holds `text`, without regard to case or Unicode form.
    async fn search(
        &self,
        filter: &SearchFilter,
        text: &str,
        paging: &Paging,
    ) -> Result<Listing<SearchHit>, SeamError>;

    /// What could not be stored, and why.
    async fn failed(
        &self,
        filter: &FailedFilter,
        paging: &Paging,
    ) -> Result<Listing<FailedUpload>, SeamError>;

    /// Tries up to `limit` failures again, with a fresh budget. Call again until it answers zeros.
    async fn retry(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, SeamError>;

    /// Gives up what a changeset still waits for and nobody else does, and what no worker is at: it fails with kind `cancelled`, and
    /// can be retried.
    async fn cancel(&self, id: ChangesetId) -> Result<Cancelled, SeamError>;

    /// Sends nothing more to a store.
    async fn pause(&self, backend: &BackendName, reason: &str) -> Result<(), SeamError>;

    /// Sends to a store again.
    async fn resume(&self, backend: &BackendName) -> Result<(), SeamError>;

    /// Brings a dataset's latest version to a store that it was not on, step by step; the store is one of the dataset's from the first
    /// step on. Call again with the `next` of the answer until there is none. Every step is safe to repeat.
    async fn sync(&self, backend: &BackendName, call: &SyncCall) -> Result<SyncStep, SeamError>;

    /// Proves copies of a dataset and has what is damaged replaced. Ends early when `stop` is cancelled; what was proven stays proven.
    async fn validate(
        &self,
        request: &ValidateRequest,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError>;

    /// Copies found damaged and not replaced yet, `limit` at most.
    async fn damages(&self, filter: &DamageFilter, limit: u32) -> Result<Vec<Damage>, SeamError>;

    /// Recounts every counter; what has drifted, normally nothing.
    async fn audit(&self) -> Result<Vec<Drift>, SeamError>;

    /// Makes a token. Its text is in this answer and nowhere else.
    async fn create_token(&self, request: &TokenRequest) -> Result<MadeToken, SeamError>;

    /// Every token that ever was, newest first.
    async fn tokens(&self) -> Result<Vec<TokenStatus>, SeamError>;

    /// Ends a token.
    async fn revoke_token(&self, id: TokenId) -> Result<TokenStatus, SeamError>;
}
