//! What time alone brings: lapsed deadlines and leases, idle pushes, undo, and staging that nobody needs.
//!
//! Every step is bounded and safe to repeat, so a crash between two of them costs nothing, and a step that fails does not
//! keep the others from running.
//!
//! Jobs are looked at half a lease after a sweeper begins, and not before. It may begin because the catalog is back, and while that was away for
//! longer than a lease, nobody could say that he is alive: workers are heard of first, three times in a lease. Rejected: to ask since when
//! the catalog is up, which a cut line does not change.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use n2s_catalog::{Catalog, CatalogError, StagedKey};
use n2s_domain::{Clock, limits};
use n2s_failpoints::{Point, failpoint};
use n2s_queue::Bell;
use n2s_storage::{Staging, StagingKey};
use n2s_telemetry::metrics::families;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::census;
use crate::report::report;

/// What the sweeper works with.
#[derive(Clone, Debug)]
pub struct SweeperDeps {
    /// The truth.
    pub catalog: Arc<dyn Catalog>,
    /// Where sealed blobs wait.
    pub staging: Staging,
    /// Rung when a sweep made jobs due.
    pub bell: Bell,
    /// Tells the age of objects in staging.
    pub clock: Arc<dyn Clock>,
}

/// Paces and patience.
#[derive(Clone, Copy, Debug)]
pub struct SweeperSettings {
    /// Between two sweeps.
    pub every: Duration,
    /// The workers' lease.
    pub lease: Duration,
    /// Between two samples of what waits.
    pub sample_every: Duration,
    /// Between two listings of staging: they cost as much as staging holds.
    pub orphans_every: Duration,
    /// How long staging keeps what nothing needs.
    pub staging_grace: Duration,
    /// Sealed bytes above which blobs leave staging with one copy.
    pub staging_high_water: u64,
    /// When an open push that nobody continued is undone.
    pub push_idle_max: Duration,
}

impl Default for SweeperSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            lease: limits::JOB_LEASE,
            sample_every: Duration::from_secs(5),
            orphans_every: Duration::from_hours(1),
            staging_grace: limits::STAGING_GRACE,
            staging_high_water: 32 << 30,
            push_idle_max: limits::PUSH_IDLE_MAX,
        }
    }
}

const ROWS_MAX: u32 = 2_000;

/// See the module.
#[derive(Debug)]
pub struct Sweeper {
    deps: SweeperDeps,
    settings: SweeperSettings,
}

impl Sweeper {
    /// A sweeper that does nothing until it is asked.
    pub fn new(deps: SweeperDeps, settings: SweeperSettings) -> Self {
        Self { deps, settings }
    }

    /// Returns all queued and leased jobs to pending. Call once, after this process took the home's engine lock and
    /// before it dispatches: whoever held the jobs is gone.
    pub async fn take_over(&self) -> Result<u64, CatalogError> {
        let taken = self.deps.catalog.take_over_jobs().await?;
        failpoint(Point::TookOver);
        Ok(taken)
    }

    /// Sweeps, and samples what waits, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let office = families::LEADER.hold(["sweeper", ""]);
        office.set(1.0);
        // Beside it: a sweep may take long, and that is when one wants to know.
        tokio::join!(self.sweeping(&shutdown), census::watch(&self.deps, &self.settings, &shutdown));
    }

    async fn sweeping(&self, shutdown: &CancellationToken) {
        let mut listener = self.deps.bell.listen();
        let mut orphans_at = Instant::now();
        let mut staged_at = Instant::now();
        let jobs_at = Instant::now() + self.settings.lease / 2;
        while !shutdown.is_cancelled() {
            if jobs_at <= Instant::now() {
                Self::noting("jobs", self.sweep_jobs(shutdown).await);
            }
            self.sweep(shutdown).await;
            if staged_at <= Instant::now() {
                Self::noting("full staging", self.relieve(&mut staged_at, shutdown).await);
            }
            if orphans_at <= Instant::now() && !shutdown.is_cancelled() {
                Self::noting("orphans in staging", self.delete_orphans().await);
                orphans_at = Instant::now() + self.settings.orphans_every;
            }
            let wake = Instant::now() + self.settings.every;
            loop {
                let left = wake.saturating_duration_since(Instant::now());
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    rang = listener.heard(left) => {
                        if !rang || left.is_zero() {
                            break;
                        }
                        // Somebody may wait for an undo: `open` is refused until it has finished.
                        Self::noting("undo", self.undo(shutdown).await);
                    }
                }
            }
        }
    }

    /// What every round has.
    async fn sweep(&self, shutdown: &CancellationToken) {
        let idle = self.deps.catalog.abandon_idle(self.settings.push_idle_max).await;
        Self::noting("idle pushes", idle.map(drop));
        Self::noting("undo", self.undo(shutdown).await);
        Self::noting("staging", self.free_unneeded(shutdown).await);
    }

    async fn sweep_jobs(&self, shutdown: &CancellationToken) -> Result<(), CatalogError> {
        while !shutdown.is_cancelled() {
            let swept = self.deps.catalog.sweep_jobs(ROWS_MAX).await?;
            for (cause, jobs) in [
                ("unclaimed", swept.requeued),
                ("lapsed", swept.lost),
                ("given_up", swept.failed),
                ("clock", swept.clamped),
            ] {
                families::SWEPT.with([cause]).add(jobs);
            }
            let rows = swept.requeued + swept.lost + swept.failed + swept.clamped;
            if rows == 0 {
                break;
            }
            tracing::info!(
                requeued = swept.requeued,
                lost = swept.lost,
                failed = swept.failed,
                clamped = swept.clamped,
                "swept jobs"
            );
            self.deps.bell.ring();
            if rows < u64::from(ROWS_MAX) {
                break;
            }
        }
        Ok(())
    }

    async fn undo(&self, shutdown: &CancellationToken) -> Result<(), CatalogError> {
        while !shutdown.is_cancelled() && self.deps.catalog.undo_step(ROWS_MAX).await? {}
        Ok(())
    }

    async fn free_unneeded(&self, shutdown: &CancellationToken) -> Result<(), CatalogError> {
        while !shutdown.is_cancelled() {
            let freed = self.deps.catalog.free_unneeded(self.settings.staging_grace, ROWS_MAX).await?;
            self.delete(&freed).await;
            if freed.len() < ROWS_MAX as usize {
                break;
            }
        }
        Ok(())
    }

    /// Above the mark one copy suffices. What is staged is counted for it, one by one: at most a twentieth of the time goes there.
    async fn relieve(
        &self,
        again_at: &mut Instant,
        shutdown: &CancellationToken,
    ) -> Result<(), CatalogError> {
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let (blobs, bytes) = self.deps.catalog.staged_total().await?;
            *again_at = Instant::now() + began.elapsed() * 20;
            census::staging(bytes, self.settings.staging_high_water);
            if blobs == 0 || bytes <= self.settings.staging_high_water {
                break;
            }
            let freed = self.deps.catalog.free_early(ROWS_MAX).await?;
            self.delete(&freed).await;
            if freed.is_empty() {
                tracing::warn!(bytes, blobs, "staging is above its mark, and no store has what it holds");
                break;
            }
        }
        Ok(())
    }

    /// Deletes objects older than the grace period that no row names: a crash came between the row and the object.
    pub async fn delete_orphans(&self) -> Result<(), CatalogError> {
        let now = self.deps.clock.now();
        if let Err(error) = self.deps.staging.sweep(now.before(self.settings.staging_grace)).await {
            tracing::warn!(error = error.report(), "staging was not swept of half-written objects");
        }
        let mut pages = self.deps.staging.list().ready_chunks(limits::BATCH_ITEMS_MAX);
        while let Some(page) = pages.next().await {
            let mut old = Vec::new();
            for listed in page {
                match listed {
                    Ok(staged)
                        if staged.modified.is_some_and(|at| now.since(at) > self.settings.staging_grace) =>
                    {
                        old.push(StagedKey { sealed_hash: staged.key.sealed_hash, id: staged.key.id });
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error = error.report(), "staging cannot be listed"),
                }
            }
            if !old.is_empty() {
                let orphans = self.deps.catalog.staged_orphans(&old).await?;
                self.delete(&orphans).await;
            }
        }
        Ok(())
    }

    async fn delete(&self, keys: &[StagedKey]) {
        if keys.is_empty() {
            return;
        }
        let objects: Vec<_> =
            keys.iter().map(|key| StagingKey { sealed_hash: key.sealed_hash, id: key.id }).collect();
        failpoint(Point::SweeperFreeing);
        for error in self.deps.staging.delete(&objects).await.into_iter().filter_map(Result::err) {
            tracing::warn!(error = error.report(), "left in staging; found again as an orphan");
        }
        failpoint(Point::SweeperFreed);
    }

    fn noting(what: &'static str, done: Result<(), CatalogError>) {
        if let Err(error) = done {
            tracing::warn!(step = what, error = report(&error), "a sweep failed; trying again");
        }
    }
}
