//! The life of a push against a real server, and what a restricted role, races and a power cut do to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod giving_way;
mod history;
mod reading;
mod replaced;
mod silence;
mod views;
mod world;

use std::time::Duration;

use n2s_catalog::{
    Audit as _, Backends as _, CatalogError, ClaimTarget, FailedFilter, HealthReport, Jobs as _,
    Library as _, Operate as _, Outcome, Page, Pushes as _, Selector, StagingBook as _, TakeOver,
};
use n2s_catalog_postgres::{Leadership, Office, PostgresCatalog, PostgresOptions, migrate};
use n2s_domain::{BackendId, ChangesetStatus, FailureKind, PathSpan};
use n2s_servers::Postgres;
use world::{World, dataset, finish, project, stored};

#[tokio::test]
async fn a_push_completes_and_leaves_nothing_behind() {
    let world = World::new(2).await;
    let pushed = world.push("a", &["x/one", "x/two", "three"]).await;
    assert_eq!(world.work().await, 6 + 2, "three blobs and a manifest on two stores");
    let record = world.catalog.changeset(pushed.changeset).await.unwrap();
    assert_eq!(record.status, ChangesetStatus::Completed);
    assert_eq!((record.file_count, record.added, record.stores.len()), (3, 3, 2));
    assert_eq!(world.catalog.staged_total().await.unwrap(), (0, 0));
    assert_eq!(world.catalog.audit().await.unwrap(), []);
    let backends = world.catalog.backends().await.unwrap();
    assert_eq!(
        backends.iter().map(|(_, tally)| (tally.pending, tally.completed)).collect::<Vec<_>>(),
        [(0, 3), (0, 3)]
    );
    let version = world.catalog.version(&project(), &dataset(), &Selector::Latest).await.unwrap();
    let tree =
        world.catalog.tree(&version, &PathSpan::Everything, &Page { after: None, limit: 100 }).await.unwrap();
    let paths: Vec<_> = tree.iter().map(|row| row.entry.path.to_string()).collect();
    assert_eq!(paths, ["three", "x/one", "x/two"]);
    assert!(tree.iter().all(|row| row.blobs.len() == 1 && row.blobs[0].stored_on.len() == 2));
    assert_eq!(world.psql("SELECT count(*) FROM jobs"), "0");
    assert_eq!(world.psql("SELECT count(*) FROM backend_deltas, completion_deltas"), "0");
}

#[tokio::test]
async fn a_version_on_top_of_another_waits_for_it_store_by_store() {
    let world = World::new(2).await;
    let first = world.push("a", &["one"]).await;
    let second = world.push("b", &["two"]).await;
    world.work().await;
    for pushed in [first, second] {
        let record = world.catalog.changeset(pushed.changeset).await.unwrap();
        assert_eq!(record.status, ChangesetStatus::Completed);
    }
    let version = world.catalog.version(&project(), &dataset(), &Selector::Latest).await.unwrap();
    assert_eq!((version.version.0, version.file_count), (2, 2));
}

#[tokio::test]
async fn a_failure_is_listed_and_its_retry_settles_the_changeset_again() {
    let world = World::new(1).await;
    let pushed = world.push("a", &["one", "two"]).await;
    let claims = world.claim_all(BackendId(1)).await;
    let failed = Outcome::Failed { kind: FailureKind::Denied, message: "no\0 entry".to_owned() };
    let outcomes = [finish(&claims[0], failed), finish(&claims[1], stored())];
    assert_eq!(world.catalog.finish(&outcomes).await.unwrap().accepted, [true, true]);
    world.fold().await;
    assert_eq!(world.catalog.changeset(pushed.changeset).await.unwrap().status, ChangesetStatus::Failed);
    let page = Page { after: None, limit: 10 };
    let listed = world.catalog.failed_uploads(&FailedFilter::default(), &page).await.unwrap();
    assert_eq!((listed.len(), listed[0].kind), (1, FailureKind::Denied));
    assert!(listed[0].path.is_some());
    assert_eq!(world.catalog.retry_failed(&FailedFilter::default(), 10).await.unwrap().placements, 1);
    world.work().await;
    assert_eq!(world.catalog.changeset(pushed.changeset).await.unwrap().status, ChangesetStatus::Completed);
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_lapsed_lease_is_fenced_off_and_the_clock_moves_for_every_connection() {
    let world = World::new(1).await;
    world.push("a", &["one"]).await;
    let first = world.claim_all(BackendId(1)).await;
    world.advance(Duration::from_secs(61));
    let swept = world.catalog.sweep_jobs(10).await.unwrap();
    assert_eq!((swept.lost, swept.requeued), (1, 0));
    let second = world.claim_all(BackendId(1)).await;
    assert_eq!(second[0].claim.epoch, first[0].claim.epoch + 1);
    assert_eq!(world.catalog.finish(&[finish(&first[0], stored())]).await.unwrap().accepted, [false]);
    assert_eq!(world.catalog.heartbeat(&[first[0].claim], Duration::from_mins(1)).await.unwrap(), []);
    assert_eq!(world.catalog.finish(&[finish(&second[0], stored())]).await.unwrap().accepted, [true]);
}

#[tokio::test]
async fn an_abandoned_push_is_undone_and_its_version_is_not_given_again() {
    let world = World::new(1).await;
    world.push("a", &["one", "two"]).await;
    world.work().await;
    let open = world.open("b", TakeOver::IfLapsed).await.unwrap();
    world.enter(&open.lease, 1, &["two", "three"]).await;
    let Err(CatalogError::Held(held)) = world.open("c", TakeOver::IfLapsed).await else {
        panic!("it is held")
    };
    assert!(!held.lapsed && held.changeset == open.lease.changeset);
    let refused = world.open("c", TakeOver::Abandon).await;
    assert!(matches!(refused, Err(CatalogError::Undoing(_))), "{refused:?}");
    while world.catalog.undo_step(1).await.unwrap() {}
    let again = world.open("c", TakeOver::IfLapsed).await.unwrap();
    assert_eq!(again.version.0, 3);
    let version = world.catalog.version(&project(), &dataset(), &Selector::Latest).await.unwrap();
    let entries = world
        .catalog
        .entries(&version, &PathSpan::Everything, &Page { after: None, limit: 100 })
        .await
        .unwrap();
    assert_eq!(entries.len(), 2);
    world.work().await;
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claimers_with_the_same_tickets_one_gets_each_job() {
    let world = World::new(1).await;
    let names: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
    world.push("a", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let tickets = world.dispatch_all(BackendId(1)).await;
    assert_eq!(tickets.len(), 100);
    let mut tasks = tokio::task::JoinSet::new();
    for turn in 0..16 {
        let (world, mut tickets) = (world.clone(), tickets.clone());
        tickets.rotate_left(turn * 6);
        tasks.spawn(async move { world.claim(BackendId(1), &tickets).await.len() });
    }
    let claimed: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(claimed, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn finishes_entries_and_folds_at_once_lose_no_waiter() {
    let world = World::new(2).await;
    world.push("a", &["seed"]).await;
    let names: Vec<String> = (0..40).map(|n| format!("shared{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (world, stop) = (world.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                world.work_once().await;
            }
        });
    }
    // Two datasets of one project push the same contents while workers finish them.
    let mut pushed = Vec::new();
    for round in 0..5 {
        let contents: Vec<String> = names.iter().map(|name| format!("{name}-{round}")).collect();
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        let (left, right) =
            tokio::join!(world.push_to("left", "x", &contents), world.push_to("right", "y", &contents));
        pushed.extend([left.changeset, right.changeset]);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    tasks.join_all().await;
    world.work().await;
    for changeset in pushed {
        let record = world.catalog.changeset(changeset).await.unwrap();
        assert_eq!(record.status, ChangesetStatus::Completed, "{:?}", record.stores);
    }
    assert_eq!(world.catalog.audit().await.unwrap(), []);
    assert_eq!(world.catalog.staged_total().await.unwrap(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_openers_one_holds_the_dataset() {
    let world = World::new(1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..12 {
        let world = world.clone();
        tasks.spawn(async move { world.open(&format!("c{client}"), TakeOver::IfLapsed).await.is_ok() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|held| *held).count(), 1);
}

#[tokio::test]
async fn a_worker_role_claims_and_finishes_and_reads_no_names() {
    let world = World::new(1).await;
    world.push("a", &["secret"]).await;
    let tickets = world.dispatch_all(BackendId(1)).await;
    world.psql("DO $$ BEGIN CREATE ROLE n2s_test_worker LOGIN IN ROLE n2s_worker; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    let url = world.url.replace("postgres@", "n2s_test_worker@");
    let worker = PostgresCatalog::open(&PostgresOptions::new(&url)).await.unwrap();
    let claims = worker.claim(BackendId(1), &tickets, &world::terms()).await.unwrap();
    assert!(matches!(claims[0].target, ClaimTarget::Upload(_)));
    assert_eq!(worker.heartbeat(&[claims[0].claim], Duration::from_mins(1)).await.unwrap().len(), 1);
    worker.report_health(BackendId(1), &HealthReport::default()).await.unwrap();
    let again = Outcome::Retry {
        after: Duration::ZERO,
        charged: true,
        error: Some((FailureKind::Unavailable, "slow".to_owned())),
    };
    assert_eq!(worker.finish(&[finish(&claims[0], again)]).await.unwrap().accepted, [true]);
    for _ in 0..2 {
        let tickets = world.dispatch_all(BackendId(1)).await;
        let claims = worker.claim(BackendId(1), &tickets, &world::terms()).await.unwrap();
        assert_eq!(worker.finish(&[finish(&claims[0], stored())]).await.unwrap().accepted, [true]);
        world.fold().await;
    }
    assert_eq!(world.psql("SELECT string_agg(status, ',') FROM changesets"), "completed");
    for forbidden in [
        "SELECT filepath FROM files",
        "SELECT content_hash FROM blobs",
        "UPDATE blobs SET sealed_hash = content_hash",
        "DELETE FROM blob_backends",
        "SELECT source_snapshot FROM changesets",
        "SELECT name FROM projects",
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id) VALUES ('manifest', 1, 1, 1)",
    ] {
        let tried = Postgres::try_psql(&url, forbidden);
        assert!(matches!(&tried, Err(said) if said.contains("permission denied")), "{forbidden}: {tried:?}");
    }
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    let server = Postgres::shared();
    let url = server.database();
    let options = PostgresOptions::new(&url);
    let Err(CatalogError::Schema { found: 0, known, advice }) = PostgresCatalog::open(&options).await else {
        panic!("an empty database is no catalog")
    };
    assert!(advice.contains("n2s migrate"));
    let (left, right) = tokio::join!(migrate(&options), migrate(&options));
    assert_eq!(
        [left.unwrap().0, right.unwrap().0].iter().sum::<i64>(),
        known,
        "one of two made it, the other found it"
    );
    PostgresCatalog::open(&options).await.unwrap().close().await;
    // A newer release has added to it: this one goes on, and changes nothing.
    Postgres::psql(&url, "UPDATE catalog SET schema_version = 98");
    PostgresCatalog::open(&options).await.unwrap().close().await;
    assert!(matches!(migrate(&options).await, Err(CatalogError::Schema { found: 98, .. })));
    // And has taken something away since.
    Postgres::psql(&url, "UPDATE catalog SET schema_version = 99, usable_from = 98");
    for refused in [PostgresCatalog::open(&options).await.err(), migrate(&options).await.err()] {
        assert!(matches!(refused, Some(CatalogError::Schema { found: 99, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn an_office_has_one_holder_and_falls_free() {
    let world = World::new(1).await;
    let options = PostgresOptions::new(&world.url);
    let office = Office::Dispatcher(BackendId(1));
    let take = async |offices: &[Office]| Leadership::try_take(&options, offices).await.unwrap();
    let mut held = take(&[office]).await.unwrap();
    assert!(take(&[office]).await.is_none());
    // All or none: the one that was free is free again.
    assert!(take(&[Office::Dispatcher(BackendId(2)), office]).await.is_none());
    take(&[Office::Dispatcher(BackendId(2)), Office::Folder]).await.unwrap().resign().await;
    assert!(held.holds().await);
    world.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert!(!held.holds().await);
    take(&[office]).await.unwrap().resign().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_cut() {
    let server = Postgres::start();
    let world = World::on(&server, 1).await;
    let pushed = world.push("a", &["one"]).await;
    power_cut(&server, &world).await;
    let record = world.catalog.changeset(pushed.changeset).await.unwrap();
    assert_eq!(record.status, ChangesetStatus::Pushing);
    world.work().await;
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_mark_that_a_power_cut_takes_back_is_made_again_and_its_message_is_good_once() {
    // Nobody but a commit that waits writes to the disk what came before it.
    let server = Postgres::start_with(&["wal_writer_delay=10s"]);
    let world = World::on(&server, 1).await;
    world.push("a", &["one", "two"]).await;
    let sent = world.dispatch_all(BackendId(1)).await;
    power_cut(&server, &world).await;
    assert_eq!(world.catalog.in_window(BackendId(1)).await.unwrap(), 0, "the mark was waited for");
    assert_eq!(world.claim(BackendId(1), &sent).await, [], "nobody marked them: the messages are stale");
    let again = world.dispatch_all(BackendId(1)).await;
    assert_eq!(again, sent, "under the same numbers");
    assert_eq!(world.claim(BackendId(1), &sent).await.len(), 2, "now either message is good");
    power_cut(&server, &world).await;
    assert_eq!(world.claim(BackendId(1), &again).await, [], "and the other one is not");
    assert_eq!(world.catalog.in_window(BackendId(1)).await.unwrap(), 2, "what was answered stays");
}

/// Afterwards the catalog has noticed, and the server is back.
async fn power_cut(server: &Postgres, world: &World) {
    server.kill();
    let away = world.catalog.in_window(BackendId(1)).await;
    assert!(matches!(away, Err(CatalogError::Away { .. })), "{away:?}");
    server.restart();
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let mut options = PostgresOptions::new("postgres://me:hunter2@127.0.0.1:1/x");
    options.acquire_timeout = Duration::from_millis(200);
    assert!(!format!("{options:?}").contains("hunter2"));
    for url in [
        options.url.clone(),
        "postgres://me:hunter2@[::bad/x".to_owned(),
        "postgres://me:hunter2@h:99999/x".to_owned(),
    ] {
        let options = PostgresOptions { url, ..options.clone() };
        for error in
            [PostgresCatalog::open(&options).await.unwrap_err(), migrate(&options).await.unwrap_err()]
        {
            assert!(!format!("{error:?} {error:#}").contains("hunter2"), "{error:?}");
        }
    }
}
