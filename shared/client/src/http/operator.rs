//! Operating over HTTP.

use async_trait::async_trait;
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{BackendName, ChangesetId, PathSpan, RelPath, TokenId};
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use super::Remote;
use super::call::{Call, Miss, read, unreadable};
use super::proving::interrupted;
use super::reader::part;
use crate::seam::{
    BackendStatus, Cancelled, ChangesetFilter, ChangesetRecord, Damage, DamageFilter, Drift, FailedFilter,
    FailedUpload, ListedFile, Listing, MadeToken, Operator, Overview, Page, Paging, ProofWatch, Retried,
    SeamError, SearchFilter, SearchHit, SyncCall, SyncStep, TokenRequest, TokenStatus, ValidateReport,
    ValidateRequest, VersionRef,
};
use crate::wire::calls::PauseCall;
use crate::wire::lines;

impl Call {
    fn page(self, paging: &Paging) -> Self {
        self.query("after", paging.after.as_ref()).query("limit", Some(paging.limit))
    }
}

#[async_trait]
impl Operator for Remote {
    async fn overview(&self) -> Result<Overview, SeamError> {
        self.line.ask(&Call::get("/v1/status")).await
    }

    async fn backends(&self) -> Result<Vec<BackendStatus>, SeamError> {
        self.line.ask(&Call::get("/v1/backends")).await
    }

    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        paging: &Paging,
    ) -> Result<Listing<ChangesetRecord>, SeamError> {
        let call = Call::get("/v1/changesets").query("project", filter.project.as_ref());
        let call = call.query("dataset", filter.dataset.as_ref()).query("status", filter.status);
        self.line.ask(&call.page(paging)).await
    }

    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, SeamError> {
        self.line.ask(&Call::get(format!("/v1/changesets/{id}"))).await
    }

    async fn files(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<ListedFile>, SeamError> {
        let body = self.line.call(&part(version, "files", within, page)).await?;
        lines::read(&body, PAGE_ROWS_MAX as usize).map_err(unreadable)
    }

    async fn search(
        &self,
        filter: &SearchFilter,
        text: &str,
        paging: &Paging,
    ) -> Result<Listing<SearchHit>, SeamError> {
        let call = Call::get("/v1/search").query("text", Some(text));
        let call = call.query("project", filter.project.as_ref()).query("dataset", filter.dataset.as_ref());
        self.line.ask(&call.page(paging)).await
    }

    async fn failed(
        &self,
        filter: &FailedFilter,
        paging: &Paging,
    ) -> Result<Listing<FailedUpload>, SeamError> {
        let call = Call::get("/v1/failed").query("project", filter.project.as_ref());
        let call = call.query("dataset", filter.dataset.as_ref()).query("backend", filter.backend.as_ref());
        let call = call.query("changeset", filter.changeset).query("kind", filter.kind);
        self.line.ask(&call.page(paging)).await
    }

    async fn retry(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, SeamError> {
        let call = Call::new(Method::POST, "/v1/retry").query("limit", Some(limit));
        self.line.ask(&call.json(filter)).await
    }

    async fn cancel(&self, id: ChangesetId) -> Result<Cancelled, SeamError> {
        self.line.ask(&Call::new(Method::POST, format!("/v1/changesets/{id}/cancel"))).await
    }

    async fn pause(&self, backend: &BackendName, reason: &str) -> Result<(), SeamError> {
        let call = Call::new(Method::POST, format!("/v1/backends/{backend}/pause"));
        self.line.call(&call.json(&PauseCall { reason: reason.to_owned() })).await.map(drop)
    }

    async fn resume(&self, backend: &BackendName) -> Result<(), SeamError> {
        self.line.call(&Call::new(Method::POST, format!("/v1/backends/{backend}/resume"))).await.map(drop)
    }

    async fn sync(&self, backend: &BackendName, call: &SyncCall) -> Result<SyncStep, SeamError> {
        self.line.ask(&Call::new(Method::POST, format!("/v1/backends/{backend}/sync")).json(call)).await
    }

    async fn validate(
        &self,
        request: &ValidateRequest,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError> {
        tokio::select! {
            report = self.validated(request, watch) => report,
            () = stop.cancelled() => Err(interrupted()),
        }
    }

    async fn damages(&self, filter: &DamageFilter, limit: u32) -> Result<Vec<Damage>, SeamError> {
        let call = Call::get("/v1/damages").query("project", filter.project.as_ref());
        let call = call.query("dataset", filter.dataset.as_ref()).query("backend", filter.backend.as_ref());
        self.line.ask(&call.query("needed_by", Some(filter.needed_by)).query("limit", Some(limit))).await
    }

    async fn audit(&self) -> Result<Vec<Drift>, SeamError> {
        self.line.ask(&Call::get("/v1/audit")).await
    }

    async fn create_token(&self, request: &TokenRequest) -> Result<MadeToken, SeamError> {
        // Not repeated: after a doubtful end a token that nobody has the text of is better looked for than doubled.
        match self.line.once(&Call::new(Method::POST, "/v1/tokens").json(request)).await {
            Ok(body) => read(&body),
            Err(Miss::Later(_, error) | Miss::Never(error)) => Err(error),
        }
    }

    async fn tokens(&self) -> Result<Vec<TokenStatus>, SeamError> {
        self.line.ask(&Call::get("/v1/tokens")).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenStatus, SeamError> {
        self.line.ask(&Call::new(Method::DELETE, format!("/v1/tokens/{id}"))).await
    }
}
