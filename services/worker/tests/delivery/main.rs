//! Jobs become bytes on stores and rows in the catalog, whatever the stores and the messages do.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy excuses only `#[test]` functions"
)]

mod broker;
mod isolation;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use n2s_catalog::{BackendState, FailedFilter, Page};
use n2s_domain::{ChangesetStatus, FailureKind, JobId, StoreKey};
use n2s_queue::{Message, Queue as _};
use n2s_storage::testing::Fault;
use n2s_storage::{Body, Put, StorageExt as _, layout};
use world::{World, name, sealed};

fn failed_page() -> Page<String> {
    Page { after: None, limit: 100 }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_stored_and_its_manifest_comes_last() {
    let world = World::new().await;
    let engine = world.start();
    let pushed = world.push("d", 300).await;
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    let key = StoreKey(*blake3::hash(b"d").as_bytes());
    for store in 0..2 {
        assert!(world.is_whole(store, &pushed).await);
        for object in [
            layout::marker(),
            layout::epoch(n2s_domain::Epoch(1)),
            layout::manifest_body(key, pushed.version),
            layout::manifest_header(key, pushed.version),
        ] {
            assert!(world.has(store, object.clone()).await, "{object}");
        }
        assert_eq!(world.stores[store].get(layout::archive_head(key)).await.unwrap(), "1\n");
        assert_eq!(world.tally(store).await, (0, 300, 0));
    }
    world.until("staging is freed", || async { world.staged_files().is_empty() }).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_stale_and_unreadable_messages_change_nothing() {
    let world = World::new().await;
    for n in 0..40 {
        world.queue.publish_bytes(&name(0), vec![0xff, n]).unwrap();
        let forged = Message { job: JobId(i64::from(n)), dispatch_seq: 1, traceparent: None };
        world.queue.publish(&name(0), vec![forged, forged]).await;
    }
    let engine = world.start();
    let pushed = world.push("d", 30).await;
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    assert_eq!(world.tally(0).await, (0, 30, 0));
    world.until("the queue is empty", || async { world.queue.waiting(&name(0)) == 0 }).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_object_spends_its_own_budget_and_fails_alone() {
    let world = World::new().await;
    let bad = layout::blob(sealed(b"sealed d 3"));
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    world.stores[0].script(move |op, key| {
        (op == "store" && key == bad.as_str()).then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            Fault::Fails(FailureKind::NotFound)
        })
    });
    let engine = world.start();
    let pushed = world.push("d", 20).await;
    world.until_status(&pushed, ChangesetStatus::Failed).await;
    assert_eq!((world.tally(0).await, world.tally(1).await), ((0, 19, 1), (0, 20, 0)));
    assert_eq!(tries.load(Ordering::Relaxed), 3, "as often as the policy says");
    let failures = world.catalog.failed_uploads(&FailedFilter::default(), &failed_page()).await.unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!((failures[0].kind, &failures[0].backend), (FailureKind::NotFound, &name(0)));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_spends_no_budget_delays_nobody_else_and_ends() {
    let world = World::new().await;
    world.stores[0].script(|_, _| Some(Fault::Fails(FailureKind::Unavailable)));
    let engine = world.start();
    let pushed = world.push("d", 50).await;
    world.until("the other store is done", || async { world.tally(1).await == (0, 50, 0) }).await;
    world.until("the breaker is open", || async { world.row(0).await.0.health.open.is_some() }).await;
    assert_eq!(world.tally(0).await, (50, 0, 0));
    world.stores[0].script(|_, _| None);
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    world.until("the breaker is closed", || async { world.row(0).await.0.health.open.is_none() }).await;
    assert!(world.is_whole(0, &pushed).await);
    let blobs = (1..=50).map(n2s_domain::BlobId).collect::<Vec<_>>();
    let placements = world.catalog.placements(&blobs).await.unwrap();
    assert!(placements.len() == 100 && placements.iter().all(|placement| placement.retry_count == 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_denial_pauses_the_store_until_a_probe_succeeds() {
    let world = World::new().await;
    world.stores[0].script(|_, _| Some(Fault::Fails(FailureKind::Denied)));
    let engine = world.start();
    let pushed = world.push("d", 10).await;
    let paused =
        || async { matches!(world.row(0).await.0.state, BackendState::Paused { by_operator: false, .. }) };
    world.until("it is paused", paused).await;
    world.until("the other store is done", || async { world.tally(1).await == (0, 10, 0) }).await;
    assert_eq!(world.tally(0).await, (10, 0, 0));
    world.stores[0].script(|_, _| None);
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    assert_eq!(world.row(0).await.0.state, BackendState::Active);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_cannot_be_read_is_charged_to_no_object() {
    let world = World::new().await;
    let looks = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&looks);
    // Far more often than an object may fail, while everything else succeeds.
    world.stores[0].script(move |_, key| {
        (key == layout::marker().as_str() && count.fetch_add(1, Ordering::Relaxed) < 12)
            .then_some(Fault::Fails(FailureKind::Corrupt))
    });
    let engine = world.start();
    let pushed = world.push("d", 10).await;
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    assert!(looks.load(Ordering::Relaxed) > 12);
    let blobs = (1..=10).map(n2s_domain::BlobId).collect::<Vec<_>>();
    let placements = world.catalog.placements(&blobs).await.unwrap();
    assert!(placements.len() == 20 && placements.iter().all(|placement| placement.retry_count == 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_an_operator_ends_waits_for_no_probe() {
    let world = World::new().await;
    world.stores[0].script(|_, _| Some(Fault::Fails(FailureKind::Denied)));
    let engine = world.start_with(|settings| settings.probe_every = Duration::from_hours(1));
    let pushed = world.push("d", 10).await;
    let paused = || async { matches!(world.row(0).await.0.state, BackendState::Paused { .. }) };
    world.until("it is paused", paused).await;
    // The prober looks once by itself when a pause begins.
    let looks = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&looks);
    world.stores[0].script(move |op, _| {
        count.fetch_add(u32::from(op != "store"), Ordering::Relaxed);
        Some(Fault::Fails(FailureKind::Denied))
    });
    world.until("it was probed again", || async { looks.load(Ordering::Relaxed) > 0 }).await;
    world.stores[0].script(|_, _| None);
    // Again and again: a probe that began before may still record its pause.
    let resumed_and_done = || async {
        world.catalog.resume(world.ids[0], true).await.unwrap();
        world.tally(0).await == (0, 10, 0)
    };
    world.until("it is worked on", resumed_and_done).await;
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_the_probe_refutes_is_the_objects_own() {
    let world = World::new().await;
    let bad = layout::blob(sealed(b"sealed d 3"));
    world.stores[0].script(move |op, key| {
        (op == "store" && key == bad.as_str()).then_some(Fault::Fails(FailureKind::Denied))
    });
    let engine = world.start();
    let pushed = world.push("d", 5).await;
    world.until_status(&pushed, ChangesetStatus::Failed).await;
    assert_eq!(world.tally(0).await, (0, 4, 1));
    assert_eq!(world.row(0).await.0.state, BackendState::Active);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_store_delays_nobody_and_is_handed_back_at_shutdown() {
    let world = World::new().await;
    world.stores[0].script(|op, _| (op == "store").then_some(Fault::Hangs));
    let engine = world.start_with(|settings| settings.grace = Duration::from_millis(100));
    let pushed = world.push("d", 30).await;
    world.until("the other store is done", || async { world.tally(1).await == (0, 30, 0) }).await;
    let id = world.ids[0];
    let leased = |depths: Vec<(_, n2s_catalog::Depth)>| {
        depths.iter().find(|(of, _)| *of == id).map_or(0, |(_, depth)| depth.leased)
    };
    world.until("some are held", || async { leased(world.catalog.depths().await.unwrap()) > 0 }).await;
    engine.stop().await;
    assert_eq!(leased(world.catalog.depths().await.unwrap()), 0);
    world.stores[0].script(|_, _| None);
    // What was queued in the old process is gone with it: a new engine takes over at once.
    let sweeper =
        n2s_dispatcher::Sweeper::new(world.sweeper_deps(), n2s_dispatcher::SweeperSettings::default());
    sweeper.take_over().await.unwrap();
    let engine = world.start();
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    engine.stop().await;
}

/// They may hold what they could say nothing of while the catalog was away.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_sweeper_hears_of_workers_before_it_takes_their_jobs() {
    let world = World::new().await;
    world.push("d", 4).await;
    let held = world.claim_lapsed(0).await;
    assert!(held > 0, "nothing was claimed");
    let patient = world.sweep_once(Duration::from_hours(1)).await;
    assert_eq!((patient.leased, patient.pending), (held, 0), "taken although they may be alive");
    let hasty = world.sweep_once(Duration::ZERO).await;
    assert_eq!((hasty.leased, hasty.pending), (0, held), "and after the wait they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staging_lost_comes_from_another_store() {
    let world = World::new().await;
    world.stores[0].script(|_, _| Some(Fault::Fails(FailureKind::Unavailable)));
    let engine = world.start();
    let pushed = world.push("d", 8).await;
    world.until("the other store is done", || async { world.tally(1).await == (0, 8, 0) }).await;
    for file in world.staged_files() {
        if pushed.hashes.iter().any(|hash| file.to_string_lossy().contains(&hash.to_hex())) {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, b"rotten").unwrap();
        }
    }
    world.stores[0].script(|_, _| None);
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    assert!(world.is_whole(0, &pushed).await);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_store_has_fails_as_source_missing() {
    let world = World::new().await;
    let pushed = world.push("d", 4).await;
    for file in world.staged_files() {
        if file.to_string_lossy().contains(&pushed.hashes[2].to_hex()) {
            std::fs::remove_file(file).unwrap();
        }
    }
    let engine = world.start();
    world.until_status(&pushed, ChangesetStatus::Failed).await;
    let failures = world.catalog.failed_uploads(&FailedFilter::default(), &failed_page()).await.unwrap();
    assert!(failures.iter().any(|failure| failure.kind == FailureKind::SourceMissing), "{failures:?}");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_store_is_paused_and_never_initialised_again() {
    let world = World::new().await;
    let engine = world.start();
    let first = world.push("d", 3).await;
    world.until_status(&first, ChangesetStatus::Completed).await;
    let (root, away) = (world.root(0), world.dir.path().join("away"));
    std::fs::rename(&root, &away).unwrap();
    std::fs::create_dir(&root).unwrap();
    let second = world.push("e", 3).await;
    let paused = || async { matches!(world.row(0).await.0.state, BackendState::Paused { .. }) };
    world.until("it is paused", paused).await;
    assert!(!world.has(0, layout::marker()).await);
    let BackendState::Paused { reason, .. } = world.row(0).await.0.state else { panic!("it was resumed") };
    assert!(reason.contains("not mounted"), "{reason}");
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    world.until_status(&second, ChangesetStatus::Completed).await;
    assert!(world.is_whole(0, &second).await);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_vaults_store_is_refused() {
    let world = World::new().await;
    let bytes = bytes::Bytes::from_static(b"the marker of vault B");
    let digest = sealed(&bytes);
    let marker = Put { key: layout::marker(), body: Body::Bytes(bytes), digest, overwrite: false };
    world.stores[0].put(marker).await.unwrap();
    let engine = world.start();
    world.push("d", 3).await;
    let paused = || async { matches!(world.row(0).await.0.state, BackendState::Paused { .. }) };
    world.until("it is paused", paused).await;
    world.until("the other store is done", || async { world.tally(1).await == (0, 3, 0) }).await;
    let BackendState::Paused { reason, .. } = world.row(0).await.0.state else { panic!("it was resumed") };
    assert!(reason.contains("another vault"), "{reason}");
    assert_eq!(world.tally(0).await, (3, 0, 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_catalogs_manifest_stops_with_an_error() {
    let world = World::new().await;
    let bytes = bytes::Bytes::from_static(b"somebody else's header");
    let key = layout::manifest_header(StoreKey(*blake3::hash(b"d").as_bytes()), n2s_domain::Version(1));
    let (digest, body) = (sealed(&bytes), Body::Bytes(bytes.clone()));
    world.stores[0].put(Put { key: key.clone(), body, digest, overwrite: false }).await.unwrap();
    let engine = world.start();
    let pushed = world.push("d", 3).await;
    world.until_status(&pushed, ChangesetStatus::Failed).await;
    let failures = world.catalog.failed_uploads(&FailedFilter::default(), &failed_page()).await.unwrap();
    assert!(failures.iter().any(|failure| failure.message.contains("another catalog")), "{failures:?}");
    assert_eq!(world.stores[0].get(key).await.unwrap(), bytes);
    engine.stop().await;
}
