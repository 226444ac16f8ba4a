//! Operating, over the catalog.

use async_trait::async_trait;
use n2s_catalog as cat;
use n2s_client::seam::{
    BackendStatus, Cancelled, ChangesetFilter, ChangesetRecord, Damage, DamageFilter, DatasetStatus, Drift,
    FailedFilter, FailedUpload, ListedFile, Listing, MadeToken, Operator, Overview, Page, Paging, ProofWatch,
    Retried, SeamError, SearchFilter, SearchHit, StagingTotals, SyncCall, SyncStep, TokenRequest,
    TokenStatus, ValidateReport, ValidateRequest, VersionRef,
};
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{BackendId, BackendName, ChangesetId, DatasetName, PathSpan, ProjectName, RelPath, TokenId};
use tokio_util::sync::CancellationToken;

use crate::Intake;
use crate::error::catalog;
use crate::reader::{page_of, version_of};
use crate::records::{backend_status, changeset_record, failed_upload, listed_file};
use crate::tokens::{self, token_status};

/// Placements given up in one transaction.
const CANCEL_STEP: u32 = 5_000;

/// One row more than asked for tells whether there is a next page.
fn one_more(limit: u32) -> u32 {
    limit.clamp(1, PAGE_ROWS_MAX - 1) + 1
}

/// Cuts what was read by [`one_more`] to a page; `key` says where the next begins.
fn cut<R, T>(
    mut rows: Vec<R>,
    limit: u32,
    key: impl Fn(&R) -> String,
    record: impl Fn(R) -> T,
) -> Listing<T> {
    let limit = one_more(limit) as usize - 1;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(key);
    Listing { items: rows.into_iter().map(record).collect(), next }
}

fn cursor<T: std::str::FromStr>(paging: &Paging) -> Result<Option<T>, SeamError> {
    let bad = |text: &str| SeamError::Invalid(format!("'{text}' is not the next of any page"));
    paging.after.as_ref().map(|text| text.parse().map_err(|_| bad(text))).transpose()
}

fn failures(filter: &FailedFilter) -> cat::FailedFilter {
    cat::FailedFilter {
        project: filter.project.clone(),
        dataset: filter.dataset.clone(),
        backend: filter.backend.clone(),
        changeset: filter.changeset,
        kind: filter.kind,
    }
}

impl Intake {
    pub(crate) async fn backend_id(&self, name: &BackendName) -> Result<BackendId, SeamError> {
        let rows = self.catalog.backends().await.map_err(catalog)?;
        let names: Vec<_> = rows.iter().map(|(row, _)| row.name.to_string()).collect();
        let found = rows.into_iter().find(|(row, _)| row.name == *name).map(|(row, _)| row.id);
        let hint = format!("; there are: {}", names.join(", "));
        found.ok_or(SeamError::Unknown { what: "backend", name: name.to_string(), hint })
    }

    /// A project and a dataset that a filter names must exist: nothing is found of a misspelt one, and that would comfort wrongly.
    pub(crate) async fn known(
        &self,
        project: Option<&ProjectName>,
        dataset: Option<&DatasetName>,
    ) -> Result<(), SeamError> {
        if project.is_none() && dataset.is_none() {
            return Ok(());
        }
        let datasets = self.catalog.datasets(project).await.map_err(catalog)?;
        let Some(name) = dataset.filter(|name| datasets.iter().all(|found| found.dataset != **name)) else {
            return Ok(());
        };
        let names: Vec<_> = datasets.iter().map(|found| found.dataset.to_string()).collect();
        let hint = format!("; there are: {}", names.join(", "));
        Err(SeamError::Unknown { what: "dataset", name: name.to_string(), hint })
    }

    /// The same of all that a filter of failures names.
    async fn all_known(&self, filter: &FailedFilter) -> Result<(), SeamError> {
        self.known(filter.project.as_ref(), filter.dataset.as_ref()).await?;
        if let Some(name) = &filter.backend {
            self.backend_id(name).await?;
        }
        let Some(id) = filter.changeset else { return Ok(()) };
        let found = self.catalog.changeset(id).await;
        // Another project's is not told apart from one that never was: the caller may see this project only.
        if let (Some(project), Ok(record)) = (&filter.project, &found)
            && record.project != *project
        {
            return Err(SeamError::Unknown {
                what: "changeset",
                name: id.to_string(),
                hint: "; `n2s changesets` lists them".to_owned(),
            });
        }
        found.map(drop).map_err(catalog)
    }
}

#[async_trait]
impl Operator for Intake {
    async fn overview(&self) -> Result<Overview, SeamError> {
        let (blobs, bytes) = self.catalog.staged_total().await.map_err(catalog)?;
        let datasets = self.catalog.datasets(None).await.map_err(catalog)?;
        let status = |row: cat::DatasetRecord| DatasetStatus {
            project: row.project,
            dataset: row.dataset,
            head: row.head,
            backends: row.backends,
        };
        Ok(Overview {
            backends: self.backends().await?,
            staging: StagingTotals { blobs, bytes },
            datasets: datasets.into_iter().map(status).collect(),
        })
    }

    async fn backends(&self) -> Result<Vec<BackendStatus>, SeamError> {
        let rows = self.catalog.backends().await.map_err(catalog)?;
        let lanes = self.catalog.lanes().await.map_err(catalog)?;
        let mut found = Vec::with_capacity(rows.len());
        for (row, tally) in rows {
            let here = lanes.iter().filter(|lane| lane.backend == row.id).cloned().collect();
            let proof = self.catalog.proof_overview(row.id).await.map_err(catalog)?;
            found.push(backend_status(row, &tally, proof, here));
        }
        Ok(found)
    }

    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        paging: &Paging,
    ) -> Result<Listing<ChangesetRecord>, SeamError> {
        self.known(filter.project.as_ref(), filter.dataset.as_ref()).await?;
        let ChangesetFilter { project, dataset, status } = filter.clone();
        let filter = cat::ChangesetFilter { project, dataset, status };
        let page = cat::Page { after: cursor(paging)?, limit: one_more(paging.limit) };
        let rows = self.catalog.changesets(&filter, &page).await.map_err(catalog)?;
        let stores = self.catalog.backends().await.map_err(catalog)?;
        Ok(cut(rows, paging.limit, |row| row.id.to_string(), |row| changeset_record(row, &stores)))
    }

    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, SeamError> {
        let row = self.catalog.changeset(id).await.map_err(catalog)?;
        let stores = self.catalog.backends().await.map_err(catalog)?;
        Ok(changeset_record(row, &stores))
    }

    async fn files(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<ListedFile>, SeamError> {
        let rows = self.catalog.tree(&version_of(version), within, &page_of(page)).await.map_err(catalog)?;
        let stores = self.catalog.backends().await.map_err(catalog)?;
        Ok(rows.into_iter().map(|row| listed_file(row, &stores)).collect())
    }

    async fn search(
        &self,
        filter: &SearchFilter,
        text: &str,
        paging: &Paging,
    ) -> Result<Listing<SearchHit>, SeamError> {
        self.known(filter.project.as_ref(), filter.dataset.as_ref()).await?;
        let SearchFilter { project, dataset } = filter.clone();
        let filter = cat::ChangesetFilter { project, dataset, status: None };
        let page = cat::Page { after: cursor(paging)?, limit: one_more(paging.limit) };
        let rows = self.catalog.search(&filter, text, &page).await.map_err(catalog)?;
        let hit = |row: cat::SearchHit| SearchHit {
            project: row.project,
            dataset: row.dataset,
            path: row.path,
            size: row.size,
            content_hash: row.content_hash,
        };
        Ok(cut(rows, paging.limit, |row| row.row.to_string(), hit))
    }

    async fn failed(
        &self,
        filter: &FailedFilter,
        paging: &Paging,
    ) -> Result<Listing<FailedUpload>, SeamError> {
        self.all_known(filter).await?;
        let page = cat::Page { after: paging.after.clone(), limit: one_more(paging.limit) };
        let rows = self.catalog.failed_uploads(&failures(filter), &page).await.map_err(catalog)?;
        Ok(cut(rows, paging.limit, |row| row.key.clone(), failed_upload))
    }

    async fn retry(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, SeamError> {
        self.all_known(filter).await?;
        let limit = limit.min(PAGE_ROWS_MAX);
        let retried = self.catalog.retry_failed(&failures(filter), limit).await.map_err(catalog)?;
        (self.ring)();
        Ok(Retried { placements: retried.placements, manifests: retried.manifests })
    }

    async fn cancel(&self, id: ChangesetId) -> Result<Cancelled, SeamError> {
        let mut placements = 0;
        while let step @ 1.. = self.catalog.cancel(id, CANCEL_STEP).await.map_err(catalog)? {
            placements += step;
        }
        (self.ring)();
        Ok(Cancelled { placements })
    }

    async fn pause(&self, backend: &BackendName, reason: &str) -> Result<(), SeamError> {
        self.catalog.pause(self.backend_id(backend).await?, true, reason).await.map_err(catalog)
    }

    async fn resume(&self, backend: &BackendName) -> Result<(), SeamError> {
        self.catalog.resume(self.backend_id(backend).await?, true).await.map_err(catalog)?;
        (self.ring)();
        Ok(())
    }

    async fn sync(&self, backend: &BackendName, call: &SyncCall) -> Result<SyncStep, SeamError> {
        self.sync_step(backend, call).await
    }

    async fn validate(
        &self,
        request: &ValidateRequest,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError> {
        self.validated(request, watch, stop).await
    }

    async fn damages(&self, filter: &DamageFilter, limit: u32) -> Result<Vec<Damage>, SeamError> {
        self.open_damages(filter, limit).await
    }

    async fn audit(&self) -> Result<Vec<Drift>, SeamError> {
        let drifts = self.catalog.audit().await.map_err(catalog)?;
        let drift =
            |drift: cat::Drift| Drift { counter: drift.counter, kept: drift.kept, counted: drift.counted };
        Ok(drifts.into_iter().map(drift).collect())
    }

    async fn create_token(&self, request: &TokenRequest) -> Result<MadeToken, SeamError> {
        let text = tokens::fresh(&*self.entropy);
        let new = tokens::new(request, &text)?;
        let row = self.catalog.add_token(&new).await.map_err(catalog)?;
        Ok(MadeToken { token: text, status: token_status(row) })
    }

    async fn tokens(&self) -> Result<Vec<TokenStatus>, SeamError> {
        let rows = self.catalog.tokens().await.map_err(catalog)?;
        Ok(rows.into_iter().map(token_status).collect())
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenStatus, SeamError> {
        self.catalog.revoke_token(id).await.map(token_status).map_err(catalog)
    }
}
