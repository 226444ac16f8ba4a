//! See `n2s_catalog::jobs`. States are 0 pending, 1 queued, 2 leased; the transitions are those of `n2s_domain::job::step`.

mod backlog;
mod claim;
mod dispatch;
mod finish;
mod retry;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::{
    Backlog, CatalogError, Claim, ClaimRef, Copy, Depth, Finish, FinishReport, Jobs, LeaseTerms, Pick,
    SweepReport, Ticket,
};
use n2s_domain::fairness::DueGroup;
use n2s_domain::{BackendId, BlobId, ChangesetId, JobId, Traceparent};

pub(crate) use finish::{FailedUpload, fail_uploads};

use crate::connect::PostgresCatalog;
use crate::error::{At as _, transact};

#[async_trait]
impl Jobs for PostgresCatalog {
    async fn due_groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, CatalogError> {
        self.groups(backend, count_max).await.at("look for due jobs")
    }

    async fn dispatch(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, CatalogError> {
        transact!("dispatch jobs", self.queue(backend, picks, queued_for))
    }

    async fn traces(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, CatalogError> {
        self.traces_of(jobs).await.at("look for the traces of jobs")
    }

    async fn unpublish(&self, tickets: &[Ticket]) -> Result<(), CatalogError> {
        transact!("put unpublished jobs back", self.unqueue(tickets))
    }

    async fn claim(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, CatalogError> {
        transact!("claim jobs", self.lease(backend, tickets, terms))
    }

    async fn heartbeat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, CatalogError> {
        transact!("extend leases", self.beat(claims, lease))
    }

    async fn finish(&self, outcomes: &[Finish]) -> Result<FinishReport, CatalogError> {
        transact!("record outcomes", self.settle_claims(outcomes))
    }

    async fn copies(&self, blob: BlobId) -> Result<Vec<Copy>, CatalogError> {
        self.copies_of(blob).await.at("look for copies of a blob")
    }

    async fn manifest_copies(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, CatalogError> {
        self.manifests_of(changeset).await.at("look for copies of a manifest")
    }

    async fn sweep_jobs(&self, limit: u32) -> Result<SweepReport, CatalogError> {
        transact!("sweep jobs", self.sweep(limit))
    }

    async fn take_over_jobs(&self) -> Result<u64, CatalogError> {
        transact!("take over jobs", self.take_over())
    }

    async fn requeue_jobs(&self) -> Result<u64, CatalogError> {
        transact!("put queued jobs back", self.requeue())
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
