//! What waits, is held, failed or is damaged on each store, and since when: sampled from the catalog for the metrics.
//!
//! By the sweeper's holder alone, every few seconds: as many processes as one likes may be scraped, as often as one likes, and the
//! catalog is asked the same. What is shown goes with the office.

use n2s_catalog::{BackendRecord, BackendState, BackendTally, Backlog, CatalogError};
use n2s_domain::Timestamp;
use n2s_telemetry::metrics::families;
use tokio_util::sync::CancellationToken;

use crate::report::report;
use crate::sweeper::{SweeperDeps, SweeperSettings};

/// Samples until `shutdown`. A sample that fails is logged, and the former one stands: its time tells how old it is.
pub(crate) async fn watch(deps: &SweeperDeps, settings: &SweeperSettings, shutdown: &CancellationToken) {
    let _shown = Shown;
    while !shutdown.is_cancelled() {
        // Not raced against the shutdown: a catalog call is never dropped half-way.
        if let Err(error) = sample(deps).await {
            tracing::warn!(error = report(&error), "what waits could not be sampled; trying again");
        }
        shutdown.run_until_cancelled(tokio::time::sleep(settings.sample_every)).await;
    }
}

async fn sample(deps: &SweeperDeps) -> Result<(), CatalogError> {
    let rows = deps.catalog.backends().await?;
    let backlogs = deps.catalog.backlogs().await?;
    let backlog = |row: &BackendRecord| backlogs.iter().find(|(id, _)| *id == row.id).map(|(_, b)| *b);
    let stores: Vec<Store> = rows
        .into_iter()
        .map(|(row, tally)| Store { backlog: backlog(&row).unwrap_or_default(), row, tally })
        .collect();
    show(&stores, deps.clock.now());
    Ok(())
}

/// What staging holds, and may hold, as the sweeper has just counted it.
pub(crate) fn staging(bytes: u64, mark: u64) {
    families::STAGING_BYTES.replace([([], number(bytes))]);
    families::STAGING_MARK.replace([([], number(mark))]);
}

/// A store as the catalog has it.
struct Store {
    row: BackendRecord,
    tally: BackendTally,
    backlog: Backlog,
}

fn show(stores: &[Store], now: Timestamp) {
    let by_store = |value: fn(&Store) -> f64| {
        stores.iter().map(move |store| ([store.row.name.to_string()], value(store))).collect::<Vec<_>>()
    };
    families::DEPTH.replace(stores.iter().flat_map(depths));
    families::OLDEST.replace(stores.iter().flat_map(oldest));
    families::ACTIVE.replace(by_store(|store| number(store.backlog.queued + store.backlog.leased)));
    families::BACKEND_PAUSED.replace(stores.iter().filter_map(paused));
    families::BACKEND_OPEN.replace(by_store(|store| f64::from(u8::from(store.row.health.open.is_some()))));
    let unavailable = |store: &Store| ([store.row.name.to_string()], unavailable(&store.row, now));
    families::BACKEND_OPEN_SECONDS.replace(stores.iter().map(unavailable));
    families::BACKEND_BYTES.replace(by_store(|store| number(store.tally.bytes)));
    families::BACKEND_COMPLETED.replace(by_store(|store| number(store.tally.completed)));
    families::DAMAGED.replace(by_store(|store| number(store.backlog.damaged)));
    families::OLDEST_PROOF
        .replace(by_store(|store| store.backlog.proof_age.map_or(0.0, |age| age.as_secs_f64())));
    families::CENSUS_AT.replace([([], families::seconds(now))]);
}

/// A store's work by state.
fn depths(store: &Store) -> [([String; 2], f64); 4] {
    let Store { tally, backlog, .. } = store;
    // What is held is pending, too, in the totals; they may be a moment older.
    let pending = tally.pending.saturating_sub(backlog.held_uploads);
    let of = |state: &str, jobs| ([store.row.name.to_string(), state.to_owned()], number(jobs));
    [
        of("pending", pending),
        of("queued", backlog.queued),
        of("leased", backlog.leased),
        of("failed", tally.failed),
    ]
}

fn oldest(store: &Store) -> [([String; 2], f64); 4] {
    let Backlog { due_for, queued_for, leased_for, failed_for, .. } = store.backlog;
    let of = |state: &str, age: Option<std::time::Duration>| {
        ([store.row.name.to_string(), state.to_owned()], age.map_or(0.0, |age| age.as_secs_f64()))
    };
    [of("pending", due_for), of("queued", queued_for), of("leased", leased_for), of("failed", failed_for)]
}

/// The reason as one of a few words; the words for people are in `n2s backends` and the log.
fn paused(store: &Store) -> Option<([String; 2], f64)> {
    let BackendState::Paused { by_operator, .. } = &store.row.state else { return None };
    let found = store.row.health.last_error.as_ref().map_or("unknown", |(kind, ..)| kind.as_str());
    let reason = if *by_operator { "operator" } else { found };
    Some(([store.row.name.to_string(), reason.to_owned()], 1.0))
}

fn unavailable(row: &BackendRecord, now: Timestamp) -> f64 {
    let paused = match &row.state {
        BackendState::Paused { since, .. } => Some(*since),
        BackendState::Active => None,
    };
    let since = [paused, row.health.open.map(|(since, _)| since)].into_iter().flatten().min();
    since.map_or(0.0, |since| now.since(since).as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "what is counted here stays below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Whoever holds no office shows nothing of it.
struct Shown;

impl Drop for Shown {
    fn drop(&mut self) {
        families::DEPTH.replace([]);
        families::OLDEST.replace([]);
        families::ACTIVE.replace([]);
        families::BACKEND_PAUSED.replace([]);
        families::BACKEND_OPEN.replace([]);
        families::BACKEND_OPEN_SECONDS.replace([]);
        families::BACKEND_BYTES.replace([]);
        families::BACKEND_COMPLETED.replace([]);
        families::DAMAGED.replace([]);
        families::OLDEST_PROOF.replace([]);
        families::STAGING_BYTES.replace([]);
        families::STAGING_MARK.replace([]);
        families::CENSUS_AT.replace([]);
    }
}
