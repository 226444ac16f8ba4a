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
use crate::error::ask;

#[async_trait]
impl Jobs for SqliteCatalog {
    async fn due_groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, CatalogError> {
        ask!("look for due jobs", self.groups(backend, count_max))
    }

    async fn dispatch(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, CatalogError> {
        ask!("dispatch jobs", self.queue(backend, picks, queued_for))
    }

    async fn traces(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, CatalogError> {
        ask!("look for the traces of jobs", self.traces_of(jobs))
    }

    async fn unpublish(&self, tickets: &[Ticket]) -> Result<(), CatalogError> {
        ask!("put unpublished jobs back", self.unqueue(tickets))
    }

    async fn claim(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, CatalogError> {
        ask!("claim jobs", self.lease(backend, tickets, terms))
    }

    async fn heartbeat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, CatalogError> {
        ask!("extend leases", self.beat(claims, lease))
    }

    async fn finish(&self, outcomes: &[Finish]) -> Result<FinishReport, CatalogError> {
        ask!("record outcomes", self.settle_claims(outcomes))
    }

    async fn copies(&self, blob: BlobId) -> Result<Vec<Copy>, CatalogError> {
        ask!("look for copies of a blob", self.copies_of(blob))
    }

    async fn manifest_copies(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, CatalogError> {
        ask!("look for copies of a manifest", self.manifests_of(changeset))
    }

    async fn sweep_jobs(&self, limit: u32) -> Result<SweepReport, CatalogError> {
        ask!("sweep jobs", self.sweep(limit))
    }

    async fn take_over_jobs(&self) -> Result<u64, CatalogError> {
        ask!("take over jobs", self.take_over())
    }

    async fn requeue_jobs(&self) -> Result<u64, CatalogError> {
        ask!("put queued jobs back", self.requeue())
    }

    async fn in_window(&self, backend: BackendId) -> Result<u64, CatalogError> {
        ask!("count queued jobs", self.window(backend))
    }

    async fn depths(&self) -> Result<Vec<(BackendId, Depth)>, CatalogError> {
        ask!("count live jobs", self.live())
    }

    async fn backlogs(&self) -> Result<Vec<(BackendId, Backlog)>, CatalogError> {
        ask!("look at what waits", self.waiting())
    }
}
