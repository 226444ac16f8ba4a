//! See `n2s_catalog::jobs`. States are 0 pending, 1 queued, 2 leased; the transitions are those of `n2s_domain::job::step`.

mod backlog;
mod claim;
mod dispatch;
mod finish;
mod sweep;

pub(crate) use finish::fail_uploads;

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::{
    Backlog, CatalogError, Claim, ClaimRef, Copy, Depth, Finish, FinishReport, Jobs, LeaseTerms, Pick,
    SweepReport, Ticket,
};
use n2s_domain::fairness::DueGroup;
use n2s_domain::{BackendId, BlobId, ChangesetId, JobId, Traceparent};

use crate::connect::SqliteCatalog;
use crate::error::At as _;

#[async_trait]
impl Jobs for SqliteCatalog {
    async fn due_groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, CatalogError> {
        self.groups(backend, count_max).await.at("look for due jobs")
    }

    async fn dispatch(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, CatalogError> {
        self.queue(backend, picks, queued_for).await.at("dispatch jobs")
    }

    async fn traces(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, CatalogError> {
        self.traces_of(jobs).await.at("look for the traces of jobs")
    }

    async fn unpublish(&self, tickets: &[Ticket]) -> Result<(), CatalogError> {
        self.unqueue(tickets).await.at("put unpublished jobs back")
    }

    async fn claim(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, CatalogError> {
        self.lease(backend, tickets, terms).await.at("claim jobs")
    }

    async fn heartbeat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, CatalogError> {
        self.beat(claims, lease).await.at("extend leases")
    }

    async fn finish(&self, outcomes: &[Finish]) -> Result<FinishReport, CatalogError> {
        self.settle_claims(outcomes).await.at("record outcomes")
    }

    async fn copies(&self, blob: BlobId) -> Result<Vec<Copy>, CatalogError> {
        self.copies_of(blob).await.at("look for copies of a blob")
    }

    async fn manifest_copies(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, CatalogError> {
        self.manifests_of(changeset).await.at("look for copies of a manifest")
    }

    async fn sweep_jobs(&self, limit: u32) -> Result<SweepReport, CatalogError> {
        self.sweep(limit).await.at("sweep jobs")
    }

    async fn take_over_jobs(&self) -> Result<u64, CatalogError> {
        self.take_over().await.at("take over jobs")
    }

    async fn requeue_jobs(&self) -> Result<u64, CatalogError> {
        self.requeue().await.at("requeue jobs")
    }

    async fn in_window(&self, backend: BackendId) -> Result<u64, CatalogError> {
        self.window(backend).await.at("count queued jobs")
    }

    async fn depths(&self) -> Result<Vec<(BackendId, Depth)>, CatalogError> {
        self.live().await.at("count live jobs")
    }

    async fn backlogs(&self) -> Result<Vec<(BackendId, Backlog)>, CatalogError> {
        self.waiting().await.at("look at what waits")
    }
}
