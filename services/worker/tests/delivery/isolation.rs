//! One store never delays another: by counts, not by times. What hangs is let go only after everything else is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use n2s_catalog::{LeaseTerms, Pick};
use n2s_domain::{BackendId, ChangesetStatus, FailureKind};
use n2s_storage::testing::Fault;

use crate::world::World;

/// More jobs than any window or permit holds at first.
const MANY: usize = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_gets_everything_while_another_answers_nothing() {
    let world = World::new().await;
    world.stores[1].script(|_, _| Some(Fault::Hangs));
    let engine = world.start();
    world.push("d", MANY).await;
    world.until("the other store has it all", || async { world.tally(0).await == (0, MANY as u64, 0) }).await;
    assert_eq!(world.tally(1).await, (MANY as u64, 0, 0), "the one that hangs was to wait for the other");
    world.stores[1].script(|_, _| None);
    engine.stop_hard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_20_files_overtakes_a_huge_one() {
    let world = World::new().await;
    let huge = world.push("huge", MANY).await;
    let small = world.push("small", 20).await;
    let engine = world.start();
    let mut ends = Vec::new();
    for pushed in [&small, &huge] {
        world.until_status(pushed, ChangesetStatus::Completed).await;
        ends.push(world.catalog.changeset(pushed.changeset).await.unwrap().completed_at);
    }
    // By the catalog's own times: how far the huge one is when somebody looks says more of who looked.
    assert!(ends[0] < ends[1], "the small one was to be done before the huge one: {ends:?}");
    engine.stop().await;
}

/// Holds a store's jobs twice with workers that disappear.
async fn lose_twice(world: &World, store: BackendId) {
    for _ in 0..2 {
        let groups = world.catalog.due_groups(store, 100).await.unwrap();
        let picks: Vec<_> = groups.iter().map(|g| Pick { changeset: g.changeset, limit: g.due }).collect();
        let tickets = world.catalog.dispatch(store, &picks, Duration::from_mins(1)).await.unwrap();
        let lease = Duration::from_micros(1);
        let terms = LeaseTerms { worker: "gone".to_owned(), lease, held_max: Duration::from_mins(1) };
        assert_eq!(world.catalog.claim(store, &tickets, &terms).await.unwrap().len(), tickets.len());
        world
            .until("the leases lapse", || async {
                world.catalog.sweep_jobs(1_000).await.unwrap().lost == tickets.len() as u64
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_must_run_alone_and_hangs_stops_no_other_store() {
    let world = World::new().await;
    world.push("d", 5).await;
    lose_twice(&world, world.ids[1]).await;
    world.stores[1].script(|op, _| (op == "store").then_some(Fault::Hangs));
    let engine = world.start();
    let held = || async {
        let depths = world.catalog.depths().await.unwrap();
        depths.iter().any(|(of, depth)| *of == world.ids[1] && depth.leased > 0)
    };
    world.until("a job runs alone, and hangs", held).await;
    world.until("the other store's first", || async { world.tally(0).await == (0, 5, 0) }).await;
    world.push("e", 100).await;
    world.until("the other store has it all", || async { world.tally(0).await == (0, 105, 0) }).await;
    engine.stop_hard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_must_run_alone_are_done_one_by_one() {
    let world = World::new().await;
    let pushed = world.push("d", 20).await;
    for id in &world.ids {
        lose_twice(&world, *id).await;
    }
    let engine = world.start();
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_seen_at_work_and_draining_and_no_more_when_it_has_ended() {
    let world = World::new().await;
    world.stores[0].script(|op, _| (op == "store").then_some(Fault::Hangs));
    let engine = world.start_with(|settings| settings.grace = Duration::from_millis(300));
    world.push("d", 10).await;
    let lane = || async {
        let lanes = world.catalog.lanes().await.unwrap();
        lanes.into_iter().find(|lane| lane.backend == world.ids[0])
    };
    world.until("it is seen", || async { lane().await.is_some_and(|lane| lane.report.in_flight > 0) }).await;
    let seen = lane().await.unwrap();
    assert_eq!((seen.report.worker.as_str(), seen.draining_at), ("test", None));
    assert!(seen.report.limit >= 4 && !seen.report.why.is_empty());
    engine.ask_to_stop();
    world.until("it drains", || async { lane().await.is_none_or(|lane| lane.report.draining) }).await;
    engine.stop().await;
    assert!(lane().await.is_none(), "it is shown although it has ended");
}

/// Whoever cannot reach a store leaves its messages to those who can.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_store_is_away_holds_no_messages() {
    let world = World::new().await;
    let engine = world.start();
    let consumers = || world.consumers.load(SeqCst);
    world.until("it consumes", || async { consumers() == 1 }).await;
    world.stores[0].script(|_, _| Some(Fault::Fails(FailureKind::Unavailable)));
    let pushed = world.push("d", 50).await;
    world.until("it consumes no more", || async { consumers() == 0 }).await;
    world.stores[0].script(|_, _| None);
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    assert_eq!(consumers(), 1);
    engine.stop().await;
}

/// A store that asks for less is not asked more: it stays known, whatever it refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_throttles_is_not_looked_at_anew_for_each_refusal() {
    let world = World::new().await;
    let (puts, looks) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (counted, looked) = (puts.clone(), looks.clone());
    world.stores[0].script(move |op, key| {
        looked.fetch_add(u32::from(op == "retrieve" && key == "n2s.json"), SeqCst);
        let blob = op == "store" && key.starts_with("blobs/");
        (blob && counted.fetch_add(1, SeqCst) % 2 == 0).then_some(Fault::Fails(FailureKind::Throttled))
    });
    let engine = world.start();
    let pushed = world.push("d", 100).await;
    world.until_status(&pushed, ChangesetStatus::Completed).await;
    engine.stop().await;
    let (puts, looks) = (puts.load(SeqCst), looks.load(SeqCst));
    assert!(puts >= 150, "the refusals were to be many: {puts} puts");
    assert!(looks <= 3, "{looks} looks at the marker, and {puts} puts");
}
