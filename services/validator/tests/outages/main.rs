//! An outage is not damage, whatever it looks like and whenever it begins.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use n2s_domain::FailureKind;
use n2s_storage::testing::Fault;
use world::{World, key};

const BLOBS: usize = 9;
/// Beside the blobs: the manifest, its key and the marker.
const ALL: u64 = BLOBS as u64 + 3;

#[tokio::test]
async fn what_is_there_is_proven_and_what_is_not_is_damaged() {
    let world = World::new(BLOBS).await;
    let report = world.validate().await;
    assert_eq!((report.totals()[0], report.totals()[2], report.totals()[3]), (ALL, 0, 0), "{report:?}");
    let bad = key(3).to_string();
    world.store.script(move |op, key| (op == "retrieve" && key == bad).then_some(Fault::Lies));
    let report = world.validate().await;
    assert_eq!((report.totals()[0], report.totals()[2]), (ALL, 1), "{report:?}");
    assert_eq!(report.stores[0].found[0].kind, FailureKind::Corrupt);
    assert_eq!(world.damages().await, 1);
}

#[tokio::test]
async fn no_answer_is_no_damage() {
    let world = World::new(BLOBS).await;
    for kind in
        [FailureKind::Denied, FailureKind::Throttled, FailureKind::Unavailable, FailureKind::Misconfigured]
    {
        world.store.script(move |_, key| key.starts_with("blobs/").then_some(Fault::Fails(kind)));
        let report = world.validate().await;
        assert_eq!((report.totals()[2], report.totals()[3]), (0, BLOBS as u64), "{report:?}");
        assert!(report.stores[0].unchecked_why.is_some());
        // Who may not read the marker either learns nothing at all.
        world.store.script(move |_, _| Some(Fault::Fails(kind)));
        let report = world.validate().await;
        assert_eq!(report.totals(), [0; 4], "{report:?}");
        assert!(report.stores[0].stopped.is_some());
    }
    assert_eq!(world.damages().await, 0);
}

/// The marker is read before a run, when something seems damaged, and after a second look.
#[tokio::test]
async fn a_disk_that_goes_away_in_the_middle_has_no_damage() {
    for readings in 1..=2 {
        let world = World::new(BLOBS).await;
        let read = AtomicU32::new(0);
        world.store.script(move |_, key| {
            let gone = match key {
                "n2s.json" => read.fetch_add(1, Ordering::Relaxed) >= readings,
                "keys/1" => false,
                _ => true,
            };
            gone.then_some(Fault::Fails(FailureKind::NotFound))
        });
        let report = world.validate().await;
        assert_eq!(report.totals()[2], 0, "gone after {readings} readings of the marker: {report:?}");
        assert!(report.stores[0].stopped.as_ref().unwrap().contains("not mounted"), "{report:?}");
        assert_eq!(world.damages().await, 0);
    }
}

#[tokio::test]
async fn what_is_right_at_the_second_look_is_proven() {
    let world = World::new(BLOBS).await;
    let (flickers, looks) = (key(2).to_string(), AtomicU32::new(0));
    world.store.script(move |_, key| {
        let first = key == flickers && looks.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::Fails(FailureKind::NotFound))
    });
    let report = world.validate().await;
    assert_eq!((report.totals()[0], report.totals()[2]), (ALL, 0), "{report:?}");
    assert_eq!(world.damages().await, 0);
}

#[tokio::test]
async fn a_store_that_never_answers_is_left_alone() {
    let world = World::believed(1_100).await;
    world.store.script(|_, key| key.starts_with("blobs/").then_some(Fault::Fails(FailureKind::Unavailable)));
    let report = world.validate().await;
    assert!(report.stores[0].stopped.is_some(), "{report:?}");
    assert!(report.totals()[3] < 1_000, "it was asked for everything: {report:?}");
    assert_eq!(world.damages().await, 0);
}

/// One object a second, for longer than anybody waits.
#[tokio::test]
async fn a_store_that_is_paused_meanwhile_is_read_no_further() {
    let world = World::new(60).await;
    let read = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&read);
    world.store.script(move |op, key| {
        counted.fetch_add(u32::from(op == "retrieve" && key.starts_with("blobs/")), Ordering::Relaxed);
        None
    });
    let pause = async {
        while read.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        world.pause().await;
    };
    let (report, ()) = tokio::join!(world.validate_at(Some(20)), pause);
    assert!(report.stores[0].stopped.as_ref().unwrap().contains("moving house"), "{report:?}");
    assert!(report.totals()[0] < 40, "{report:?}");
}
