//! Promises of [`crate::Backends`].

use n2s_domain::{Epoch, FailureKind};

use super::World;
use super::world::{HOUR, VAULT, put, store};
use crate::{BackendState, HealthReport, LANE_KEPT, LANE_SILENCE_MAX, LaneReport};

/// Stores known already keep their rows.
pub async fn rows_come_in_the_order_configured(w: &World) {
    let configured = ["z", "b", "a"].map(|name| (store(name), "local".to_owned()));
    let rows = w.other.ensure_backends(&configured).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["z", "b", "a"]);
    assert_eq!([rows[2].id, rows[1].id], w.stores[..]);
    assert_eq!(w.catalog.backends().await.unwrap().len(), 3);
}

async fn state(w: &World) -> BackendState {
    w.catalog.backends().await.unwrap().remove(0).0.state
}

fn by_operator(state: &BackendState) -> Option<bool> {
    match state {
        BackendState::Active => None,
        BackendState::Paused { by_operator, .. } => Some(*by_operator),
    }
}

/// A probe neither replaces nor ends an operator's pause; an operator ends any.
pub async fn an_operators_pause_outranks_a_probes(w: &World) {
    let a = w.stores[0];
    w.catalog.pause(a, false, "denied").await.unwrap();
    assert_eq!(by_operator(&state(w).await), Some(false));
    w.catalog.resume(a, false).await.unwrap();
    assert_eq!(state(w).await, BackendState::Active);
    w.catalog.pause(a, true, "moving house").await.unwrap();
    w.catalog.pause(a, false, "denied").await.unwrap();
    w.catalog.resume(a, false).await.unwrap();
    let BackendState::Paused { by_operator: true, reason, .. } = state(w).await else { panic!() };
    assert_eq!(reason, "moving house");
    w.catalog.resume(a, true).await.unwrap();
    assert_eq!(state(w).await, BackendState::Active);
}

/// Later reports keep what they do not speak of.
pub async fn health_is_remembered(w: &World) {
    let error = Some((FailureKind::Throttled, "slow down".to_owned()));
    let bad = HealthReport { open_for: Some(HOUR), error, success: false, concurrency: Some(3) };
    w.catalog.report_health(w.stores[0], &bad).await.unwrap();
    let seen = w.other.backends().await.unwrap().remove(0).0.health;
    assert!(seen.open.is_some_and(|(since, probe)| probe.since(since) == HOUR));
    let good = HealthReport { success: true, ..HealthReport::default() };
    w.catalog.report_health(w.stores[0], &good).await.unwrap();
    let seen = w.other.backends().await.unwrap().remove(0).0.health;
    assert!(seen.open.is_none() && seen.last_success_at.is_some());
    let (kind, text, _) = seen.last_error.unwrap();
    assert_eq!((kind, text.as_str(), seen.concurrency), (FailureKind::Throttled, "slow down", Some(3)));
}

/// The first vault stays; an epoch is placed once.
pub async fn initialised_once_with_its_keys(w: &World) {
    let a = w.stores[0];
    for _ in 0..2 {
        w.catalog.set_initialised(a, VAULT).await.unwrap();
        w.catalog.epoch_placed(a, Epoch(1)).await.unwrap();
    }
    let row = w.catalog.backends().await.unwrap().remove(0).0;
    assert_eq!((row.vault, row.initialised_at.is_some()), (Some(VAULT), true));
    assert_eq!(w.catalog.placed_epochs(a).await.unwrap(), [Epoch(1)]);
    assert_eq!(w.catalog.placed_epochs(w.stores[1]).await.unwrap(), []);
}

/// Nothing is dispatched to a paused store, or to one whose breaker is open, until the probe is due.
pub async fn a_paused_store_has_nothing_due(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let due = async || w.catalog.due_groups(w.stores[0], 9).await.unwrap().len();
    assert_eq!(due().await, 1);
    w.catalog.pause(w.stores[0], true, "closed").await.unwrap();
    assert_eq!(due().await, 0);
    assert_eq!(w.catalog.due_groups(w.stores[1], 9).await.unwrap().len(), 1);
    w.catalog.resume(w.stores[0], true).await.unwrap();
    let open = HealthReport { open_for: Some(HOUR), ..HealthReport::default() };
    w.catalog.report_health(w.stores[0], &open).await.unwrap();
    assert_eq!(due().await, 0);
    w.advance(2 * HOUR).await;
    assert_eq!(due().await, 1);
}

/// A lane is known while it reports, with when it joined, drained and last decided; a worker forgets its own lanes and the dead.
pub async fn lanes_are_known_while_they_report(w: &World) {
    let report = |worker: &str, draining, why: &str| LaneReport {
        worker: worker.to_owned(),
        draining,
        limit: 8,
        in_flight: 3,
        why: why.to_owned(),
    };
    for store in &w.stores {
        w.catalog.report_lane(*store, &report("host-1", false, "rising")).await.unwrap();
    }
    w.catalog.report_lane(w.stores[0], &report("host-2", false, "rising")).await.unwrap();
    let before = w.other.lanes().await.unwrap();
    let names: Vec<_> = before.iter().map(|lane| (lane.backend, lane.report.worker.as_str())).collect();
    assert_eq!(names, [(w.stores[0], "host-1"), (w.stores[0], "host-2"), (w.stores[1], "host-1")]);
    assert_eq!((&before[0].report, before[0].draining_at), (&report("host-1", false, "rising"), None));
    w.advance(LANE_SILENCE_MAX / 2).await;
    w.catalog.report_lane(w.stores[0], &report("host-1", true, "rising")).await.unwrap();
    w.catalog.report_lane(w.stores[0], &report("host-2", false, "held")).await.unwrap();
    let now = w.other.lanes().await.unwrap();
    assert_eq!((now[0].joined_at, now[0].decided_at), (before[0].joined_at, before[0].decided_at));
    assert!(now[0].draining_at.is_some_and(|at| at > before[0].reported_at) && now[1].draining_at.is_none());
    assert!(now[1].decided_at > before[1].decided_at && now[1].joined_at == before[1].joined_at);
    w.advance(LANE_SILENCE_MAX * 2 / 3).await;
    assert_eq!(w.catalog.lanes().await.unwrap().len(), 2, "who is silent has died");
    w.catalog.forget_lanes("host-1").await.unwrap();
    let left = w.catalog.lanes().await.unwrap();
    assert_eq!(left.iter().map(|lane| lane.report.worker.as_str()).collect::<Vec<_>>(), ["host-2"]);
    w.advance(2 * LANE_KEPT).await;
    w.catalog.report_lane(w.stores[0], &report("host-3", false, "rising")).await.unwrap();
    w.catalog.forget_lanes("host-4").await.unwrap();
    assert_eq!(w.catalog.lanes().await.unwrap().len(), 1);
}
