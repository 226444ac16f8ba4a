//! Health probes: the only thing that closes a circuit, confirms a denial, or ends a pause that a probe began.
//!
//! A probe looks for the marker first, then overwrites and reads back the probe object: in this order, because an
//! unmounted disk would take the probe gladly.

use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::{BackendRecord, BackendState, CatalogError};
use n2s_domain::judge::Probe;
use n2s_domain::{FailureKind, limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::{Blame, Failure, report};
use crate::health::{Mark, Urgency};
use crate::presence::Presence;
use crate::ready::check_marker;
use crate::store::{Shared, Store};

/// How often the prober looks whether it is needed.
const LOOK: Duration = Duration::from_millis(100);
/// How soon the catalog hears what changed, and how soon that objects arrived: every worker of a fleet says so, in one row.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_QUIETLY_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for what writers that died left on the store.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// Probes a store whenever that is due, and reports its health, until `stop`.
pub(crate) async fn watch(
    shared: &Shared,
    store: &Store,
    (shutdown, stop): (&CancellationToken, &CancellationToken),
) {
    let mut lane = Presence::default();
    let mut probe_at = None;
    let (mut reported_at, mut asked_at): (Option<Instant>, Option<Instant>) = (None, None);
    let mut swept_at: Option<Instant> = None;
    match shared.record(store).await {
        Ok(record) => inherit(shared, store, &record),
        Err(error) => {
            tracing::warn!(backend.name = %store.deps.name, error = report(&error), "state unknown");
        }
    }
    while !stop.is_cancelled() {
        let paused_probe = store.health.is_paused() && probe_at.is_none_or(|at| at <= Instant::now());
        if paused_probe || store.health.wants_probe(shared.now()) {
            let since = store.health.mark();
            probe(shared, store, since, stop).await;
            probe_at = Some(Instant::now() + shared.settings.probe_every);
            reported_at = None;
        }
        if let Some(urgency) = store.health.urgency()
            && reported_at.is_none_or(|at| at.elapsed() >= every(urgency))
        {
            tell(shared, store).await;
            reported_at = Some(Instant::now());
        }
        if store.health.is_paused() && asked_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            asked_at = Some(Instant::now());
            if resumed_elsewhere(shared, store).await {
                probe_at = None;
            }
        }
        lane.show(shared, store, shutdown.is_cancelled()).await;
        if swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            sweep(shared, store);
            swept_at = Some(Instant::now());
        }
        store.meters.show(&store.health, store.hearing.hears());
        stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
    }
    tell(shared, store).await;
}

const fn every(urgency: Urgency) -> Duration {
    match urgency {
        Urgency::Soon => REPORT_EVERY,
        Urgency::Quiet => REPORT_QUIETLY_EVERY,
    }
}

/// Whether the catalog knows nothing of the pause any more: an operator ended it, or another worker whose probe succeeded. Asked
/// only while paused; whoever waits for the store should not wait for our next probe as well.
async fn resumed_elsewhere(shared: &Shared, store: &Store) -> bool {
    let active = |record: BackendRecord| record.state == BackendState::Active && record.health.open.is_none();
    shared.record(store).await.is_ok_and(active)
}

/// Beside everything else: a store that hangs is no reason to stop probing it.
fn sweep(shared: &Shared, store: &Store) {
    let before = shared.now().before(limits::STAGING_GRACE);
    let (storage, name) = (Arc::clone(&store.deps.storage), store.deps.name.clone());
    tokio::spawn(async move {
        match storage.sweep(before).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(backend.name = %name, swept, "removed what dead writers left"),
            Err(error) => tracing::debug!(backend.name = %name, error = error.report(), "not swept"),
        }
    });
}

/// What an earlier process found holds until a probe of ours says otherwise, which is made at once.
fn inherit(shared: &Shared, store: &Store, record: &BackendRecord) {
    if matches!(record.state, BackendState::Paused { by_operator: false, .. }) {
        store.health.set_paused(true);
    }
    if record.health.open.is_some() {
        // Open with a probe that is due: the first look of `watch` makes it, because a paused store is probed first.
        store.health.open(shared.now(), shared.deps.entropy.as_ref());
        store.health.set_paused(true);
    }
}

/// Makes a probe, unless one that began after `since` has been made. Returns what it said; `Unknown` when stopped.
pub(crate) async fn probe(shared: &Shared, store: &Store, since: Mark, stop: &CancellationToken) -> Probe {
    let Some(_alone) = stop.run_until_cancelled(store.probing.lock()).await else { return Probe::Unknown };
    let made = store.health.probe_since(since);
    if made != Probe::Unknown {
        return made;
    }
    let began = store.health.mark();
    let facts = match facts(shared, store).await {
        Ok(facts) => facts,
        Err(error) => {
            tracing::warn!(backend.name = %store.deps.name, error = report(&error), "not probed");
            return Probe::Unknown;
        }
    };
    let Some(found) = stop.run_until_cancelled(ask(store, &facts)).await else { return Probe::Unknown };
    store.health.probed(began, found.is_ok(), shared.now(), shared.deps.entropy.as_ref());
    match found {
        Ok(()) => resume(shared, store).await,
        Err(failure) => {
            store.ready.forget().await;
            store.health.note_error(failure.kind, &failure.message);
            if matches!(failure.kind, FailureKind::Denied | FailureKind::Misconfigured) {
                pause(shared, store, &failure.message).await;
            }
        }
    }
    tell(shared, store).await;
    store.health.probe_since(since)
}

type Facts = (BackendRecord, Option<Vec<u8>>);

async fn facts(shared: &Shared, store: &Store) -> Result<Facts, CatalogError> {
    let record = shared.record(store).await?;
    let marker = match record.vault.or_else(|| store.ready.asked()) {
        Some(vault) => shared.catalog().vault_objects(vault).await?.map(|objects| objects.marker),
        None => None,
    };
    Ok((record, marker))
}

async fn ask(store: &Store, (record, marker): &Facts) -> Result<(), Failure> {
    if let Some(marker) = marker {
        check_marker(store, record, marker).await?;
    }
    store.deps.storage.health().await.map_err(|error| Failure::of_target(&error))
}

/// Stops all work on the store and says why.
pub(crate) async fn pause(shared: &Shared, store: &Store, reason: &str) {
    store.health.set_paused(true);
    tracing::error!(backend.name = %store.deps.name, reason, "paused until a health check succeeds");
    if let Err(error) = shared.catalog().pause(store.deps.id, false, reason).await {
        tracing::warn!(backend.name = %store.deps.name, error = report(&error), "the pause is not recorded");
    }
}

async fn resume(shared: &Shared, store: &Store) {
    if store.health.is_paused() {
        match shared.catalog().resume(store.deps.id, false).await {
            Ok(()) => {
                store.health.set_paused(false);
                tracing::info!(backend.name = %store.deps.name, "healthy again");
                shared.deps.bell.ring();
            }
            Err(error) => {
                tracing::warn!(backend.name = %store.deps.name, error = report(&error), "still paused in the catalog");
            }
        }
    }
}

async fn tell(shared: &Shared, store: &Store) {
    if let Some(news) = store.health.news(shared.now()) {
        let closed = news.open_for.is_none();
        match shared.catalog().report_health(store.deps.id, &news).await {
            Ok(()) if closed => shared.deps.bell.ring(),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(backend.name = %store.deps.name, error = report(&error), "health is not recorded");
            }
        }
    }
}

/// A failure that only a probe can explain.
pub(crate) fn needs_probe(failure: &Failure) -> bool {
    matches!(failure.blame, Blame::Target | Blame::Store)
        && matches!(failure.kind, FailureKind::Denied | FailureKind::Misconfigured)
}
