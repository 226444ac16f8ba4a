//! The validator role: everything on every store, once in each period, oldest proof first, for ever.
//!
//! A period that is too short for the budget is not made up for by reading faster: it is said, and proofs grow older evenly.
//! A store has one validator at a time, by a lease on its run, so that any number of them may be started.

use std::time::Duration;

use futures_util::future::join_all;
use n2s_catalog::{CatalogError, NewValidation, ValidationEnd};
use n2s_domain::ProofLevel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::deps::{StoreDeps, ValidatorDeps};
use crate::identity::identify;
use crate::keys;
use crate::report::StoreReport;
use crate::step::{Stepped, Stepper};

/// Proofs asked for at once.
const PAGE: u32 = 500;
/// How long a run stays its validator's without a record.
const LEASE: Duration = Duration::from_mins(10);
/// A run is one row; a new one begins now and then, so that the rows tell when what was found.
const RUN_MAX: Duration = Duration::from_hours(24);
/// Between two looks at a store that is away, paused, or another validator's.
const AWAY: Duration = Duration::from_secs(30);

/// Pace and patience.
#[derive(Clone, Copy, Debug)]
pub struct ValidatorSettings {
    /// Bytes read from each store in a second.
    pub bytes_per_sec: Option<u64>,
    /// Nothing is proven again before its proof is so old.
    pub every: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Validator {
    deps: ValidatorDeps,
    settings: ValidatorSettings,
}

impl Validator {
    /// A validator that does nothing until [`Self::run`].
    pub fn new(deps: ValidatorDeps, settings: ValidatorSettings) -> Self {
        Self { deps, settings }
    }

    /// Proves until `shutdown`; a wave that is under way is finished first.
    pub async fn run(self, shutdown: CancellationToken) {
        let stores = self.deps.stores.iter().map(|store| self.watch(store, &shutdown));
        join_all(stores).await;
    }

    async fn watch(&self, store: &StoreDeps, shutdown: &CancellationToken) {
        let mut told = None;
        while !shutdown.is_cancelled() {
            let ended = match self.one_run(store, shutdown).await {
                Ok(None) => None,
                Ok(Some(why)) => Some(why),
                Err(error) => Some(report(&error)),
            };
            // Said once, not every half minute for as long as a disk is away.
            if let Some(why) = &ended
                && told.as_ref() != Some(why)
            {
                tracing::warn!(backend.name = %store.name, why, "not validated");
            }
            let pause = if ended.is_some() { AWAY } else { Duration::ZERO };
            told = ended;
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Proves what is due until a day has passed. Says why when it ended before.
    async fn one_run(
        &self,
        store: &StoreDeps,
        shutdown: &CancellationToken,
    ) -> Result<Option<String>, CatalogError> {
        let catalog = self.deps.catalog.as_ref();
        let identity = match identify(catalog, store).await? {
            Ok(Some(identity)) => identity,
            Ok(None) => return Ok(Some("nothing has been stored there yet".to_owned())),
            Err(stop) => return Ok(Some(stop.why)),
        };
        let (backend, level) = (store.id, ProofLevel::Sealed);
        let new = NewValidation { backend, scope: None, level, one_in: 1, lease: LEASE };
        let Some(run) = catalog.begin_validation(&new).await? else {
            return Ok(Some("another validator has this store".to_owned()));
        };
        self.warn_if_too_slow(store).await?;
        let mut found = StoreReport::new(store.name.clone());
        keys::check(store, &identity, &mut found).await;
        let budget = Budget::new(self.settings.bytes_per_sec);
        let mut stepper =
            Stepper { deps: &self.deps, store, run, level, budget, silent: 0, looked_at: Instant::now() };
        let began = Instant::now();
        while began.elapsed() < RUN_MAX && !shutdown.is_cancelled() && found.stopped.is_none() {
            self.pass(&mut stepper, &mut found, shutdown).await?;
            shutdown.run_until_cancelled(tokio::time::sleep(self.look())).await;
        }
        let end = ValidationEnd { unchecked: found.unchecked, stopped: found.stopped.clone() };
        catalog.end_validation(run, &end).await?;
        Ok(found.stopped)
    }

    /// Between two looks whether something is due.
    fn look(&self) -> Duration {
        (self.settings.every / 1_000).clamp(Duration::from_secs(1), LEASE / 4)
    }

    /// Everything that is due now, once.
    async fn pass(
        &self,
        stepper: &mut Stepper<'_>,
        found: &mut StoreReport,
        shutdown: &CancellationToken,
    ) -> Result<(), CatalogError> {
        let catalog = self.deps.catalog.as_ref();
        let taken_over = || Some("another validator has taken over".to_owned());
        let Some(now) = catalog.keep_validation(stepper.run).await? else {
            found.stopped = taken_over();
            return Ok(());
        };
        let before = now.before(self.settings.every);
        let mut after: Option<String> = None;
        loop {
            let page = catalog.oldest_proofs(stepper.store.id, before, after.as_deref(), PAGE).await?;
            let mut at = 0;
            while at < page.proofs.len() {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                let wave = &page.proofs[at..at + stepper.wave(&page.proofs[at..])];
                at += wave.len();
                match stepper.step(wave, found).await? {
                    Stepped::On(_) => {}
                    Stepped::Stopped(stop) => found.stopped = Some(stop.why),
                    Stepped::TakenOver => found.stopped = taken_over(),
                }
                if found.stopped.is_some() {
                    return Ok(());
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn warn_if_too_slow(&self, store: &StoreDeps) -> Result<(), CatalogError> {
        let Some(rate) = self.settings.bytes_per_sec else { return Ok(()) };
        let rows = self.deps.catalog.backends().await?;
        let bytes = rows.iter().find(|(row, _)| row.id == store.id).map_or(0, |(_, tally)| tally.bytes);
        let needed = Duration::from_secs(bytes / rate.max(1));
        if needed > self.settings.every {
            tracing::warn!(
                backend.name = %store.name,
                bytes,
                days_needed = needed.as_secs() / 86_400,
                days_wanted = self.settings.every.as_secs() / 86_400,
                "[validator] bytes_per_second is too low for every_hours"
            );
        }
        Ok(())
    }
}

/// `error: cause: cause`.
fn report(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
