//! A run over one dataset: `n2s validate`.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use n2s_catalog::{CatalogError, DatasetScope, NewValidation, ValidationEnd, ValidationRun, Vouched};
use n2s_domain::{BackendId, BackendName, DatasetName, ProjectName, ProofLevel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::deps::{StoreDeps, ValidatorDeps};
use crate::identity::{Identity, Stop, identify};
use crate::keys;
use crate::plan::plan;
use crate::report::{Report, StoreReport};
use crate::step::{Stepped, Stepper};

/// Proofs planned at once, 64 bytes each.
const PLANNED: usize = 400_000;
/// Between two looks whether a store has come back.
const LOOK: Duration = Duration::from_millis(100);

/// What to prove.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of this project.
    pub project: ProjectName,
    /// Of this dataset, all versions.
    pub dataset: DatasetName,
    /// On this store; on all of the dataset's without.
    pub backend: Option<BackendId>,
    /// How thoroughly.
    pub level: ProofLevel,
    /// Of every store's copies one in so many, those whose proof is oldest.
    pub one_in: u64,
    /// Bytes read from each store in a second.
    pub bytes_per_sec: Option<u64>,
    /// How long a store that does not answer may take to come back.
    pub patience: Duration,
}

/// Who wants to know how far it is.
pub trait Progress: Send + Sync {
    /// A store has so many copies and bytes to prove.
    fn total(&self, copies: u64, bytes: u64);
    /// So many more were looked at, and so many of them were damaged.
    fn checked(&self, copies: u64, bytes: u64, damaged: u64);
}

/// Proves copies of a dataset, all stores at once, each within its own budget, and records what it finds. Ends early, between two
/// waves, when `stop` is cancelled.
pub async fn validate(
    deps: &ValidatorDeps,
    request: &Request,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Report, CatalogError> {
    let wanted = |store: &&StoreDeps| request.backend.is_none_or(|wanted| wanted == store.id);
    let runs = deps.stores.iter().filter(wanted).map(|store| {
        let run = Run { deps, request, progress, stop, store };
        async move { run.run().await }
    });
    let stores = join_all(runs).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut stores: Vec<_> = stores.into_iter().flatten().collect();
    stores.extend(not_here(deps, request).await?);
    Ok(Report { stores })
}

/// The dataset's stores that this process does not have.
async fn not_here(deps: &ValidatorDeps, request: &Request) -> Result<Vec<StoreReport>, CatalogError> {
    let datasets = deps.catalog.datasets(Some(&request.project)).await?;
    let of = datasets
        .into_iter()
        .filter(|found| found.dataset == request.dataset)
        .flat_map(|found| found.backends);
    let wanted: Vec<_> = of.filter(|name| deps.stores.iter().all(|store| store.name != *name)).collect();
    let records = deps.catalog.backends().await?;
    let asked = |name: &BackendName| {
        let row = records.iter().find(|(row, _)| row.name == *name).map(|(row, _)| row.id);
        request.backend.is_none() || request.backend == row
    };
    let report = |name: BackendName| {
        let mut report = StoreReport::new(name);
        report.stopped = Some("it is not in this configuration".to_owned());
        report
    };
    Ok(wanted.into_iter().filter(asked).map(report).collect())
}

struct Run<'a> {
    deps: &'a ValidatorDeps,
    request: &'a Request,
    progress: &'a dyn Progress,
    stop: &'a CancellationToken,
    store: &'a StoreDeps,
}

impl Run<'_> {
    /// `None` for a store that has nothing of ours.
    async fn run(&self) -> Result<Option<StoreReport>, CatalogError> {
        let mut report = StoreReport::new(self.store.name.clone());
        let identity = match self.identify().await? {
            Ok(None) => return Ok(None),
            Ok(Some(identity)) => identity,
            Err(stop) => {
                report.stopped = Some(stop.why);
                return Ok(Some(report));
            }
        };
        let scope = Some((self.request.project.clone(), self.request.dataset.clone()));
        let new = NewValidation {
            backend: self.store.id,
            scope,
            level: self.request.level,
            one_in: self.request.one_in,
            lease: Duration::ZERO,
        };
        let Some(run) = self.deps.catalog.begin_validation(&new).await? else { return Ok(None) };
        keys::check(self.store, &identity, &mut report).await;
        self.prove(run, &mut report).await?;
        let end = ValidationEnd { unchecked: report.unchecked, stopped: report.stopped.clone() };
        self.deps.catalog.end_validation(run, &end).await?;
        Ok(Some(report))
    }

    async fn identify(&self) -> Result<Result<Option<Identity>, Stop>, CatalogError> {
        let since = Instant::now();
        loop {
            match identify(self.deps.catalog.as_ref(), self.store).await? {
                Err(stop) if stop.passing && since.elapsed() < self.request.patience => {
                    tokio::time::sleep(LOOK).await;
                }
                other => return Ok(other),
            }
        }
    }

    async fn prove(&self, run: ValidationRun, report: &mut StoreReport) -> Result<(), CatalogError> {
        let request = self.request;
        let scope = DatasetScope {
            project: request.project.clone(),
            dataset: request.dataset.clone(),
            backend: Some(self.store.id),
            level: request.level,
        };
        let budget = Budget::new(request.bytes_per_sec);
        let (deps, store, level) = (self.deps, self.store, request.level);
        let mut stepper = Stepper { deps, store, run, level, budget, silent: 0, looked_at: Instant::now() };
        let mut undecided: HashSet<Vouched> = HashSet::new();
        let mut left: Option<u64> = None;
        loop {
            let planned =
                plan(self.deps.catalog.as_ref(), &scope, run.started_at, &undecided, PLANNED).await?;
            let quota = *left.get_or_insert_with(|| self.quota(planned.copies, planned.bytes));
            let proofs =
                &planned.oldest[..planned.oldest.len().min(usize::try_from(quota).unwrap_or(usize::MAX))];
            if proofs.is_empty() {
                return Ok(());
            }
            let mut at = 0;
            while at < proofs.len() {
                if self.stop.is_cancelled() {
                    report.stopped =
                        Some("it was interrupted; the next run goes on with the oldest proofs".to_owned());
                    return Ok(());
                }
                let wave = &proofs[at..at + stepper.wave(&proofs[at..])];
                let before = (report.bytes, report.damaged);
                match stepper.step(wave, report).await? {
                    Stepped::On(more) => undecided.extend(more),
                    Stepped::Stopped(stop) => {
                        report.stopped = Some(stop.why);
                        return Ok(());
                    }
                    Stepped::TakenOver => return Ok(()),
                }
                at += wave.len();
                self.progress.checked(wave.len() as u64, report.bytes - before.0, report.damaged - before.1);
            }
            left = Some(quota - proofs.len() as u64);
        }
    }

    /// How many copies to prove.
    fn quota(&self, copies: u64, bytes: u64) -> u64 {
        let one_in = self.request.one_in.max(1);
        let bytes = if self.request.level.reads_bytes() { bytes / one_in } else { 0 };
        let quota = copies.div_ceil(one_in);
        self.progress.total(quota, bytes);
        quota
    }
}
