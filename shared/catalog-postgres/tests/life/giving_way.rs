//! What other transactions do to ours: deadlocks are begun again, waits end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use n2s_catalog::{Audit as _, Backends as _, CatalogError, Jobs as _, StagingBook as _, TakeOver};
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions};
use n2s_domain::BackendId;
use n2s_servers::Postgres;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::world::{World, finish, stored};

/// Looks again and again, for twenty seconds at least.
async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// Waits until a connection of the database waits for a lock.
async fn until_waiting(world: &World) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("somebody waits for a lock", || world.psql(sql) == "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlocks_victim_begins_again() {
    let world = World::new(1).await;
    world.push("a", &["one", "two"]).await;
    let claims = world.claim_all(BackendId(1)).await;
    let outcomes: Vec<_> = claims.iter().map(|claim| finish(claim, stored())).collect();
    let mut jobs: Vec<i64> = claims.iter().map(|claim| claim.claim.job.0).collect();
    jobs.sort_unstable();
    // The other one never looks for deadlocks, so that ours is the victim, after long enough to become one.
    world.psql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 3000', current_database()); END $$");
    let victim = PostgresCatalog::open(&PostgresOptions::new(&world.url)).await.unwrap();
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    sqlx::query("SET deadlock_timeout = '10min'").execute(&mut other).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    let lock = "SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE";
    sqlx::query(lock).bind(jobs[1]).execute(&mut *tx).await.unwrap();
    let finishing = tokio::spawn(async move { victim.finish(&outcomes).await });
    until_waiting(&world).await;
    sqlx::query(lock).bind(jobs[0]).execute(&mut *tx).await.unwrap();
    assert!(!finishing.is_finished(), "it has begun again and waits for the other one");
    tx.commit().await.unwrap();
    assert_eq!(finishing.await.unwrap().unwrap().accepted, [true, true]);
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_wait_for_a_lock_ends() {
    let world = World::new(1).await;
    world.push("a", &["one"]).await;
    let mut options = PostgresOptions::new(&world.url);
    options.lock_timeout = Duration::from_millis(100);
    options.application_name = "n2s impatient".to_owned();
    let catalog = PostgresCatalog::open(&options).await.unwrap();
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM datasets FOR UPDATE").execute(&mut *tx).await.unwrap();
    let refused = world.open_on(&catalog, "tree", "b", TakeOver::IfLapsed).await;
    assert!(matches!(refused, Err(CatalogError::Away { op: "open a push", .. })), "{refused:?}");
    // Each attempt's connection goes back to the pool, after the rollback.
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'n2s impatient' AND state <> 'idle'";
    until("the impatient one holds nothing", || world.psql(busy) == "0").await;
    tx.rollback().await.unwrap();
    world.open_on(&catalog, "tree", "b", TakeOver::IfLapsed).await.unwrap();
}

/// Somebody who stopped in the middle of a transaction holds its locks until the server ends it.
#[tokio::test]
async fn a_wait_for_somebody_who_stopped_is_taken_up_again() {
    let server = Postgres::start();
    let world = World::on(&server, 1).await;
    world.push("a", &["one"]).await;
    let options =
        PostgresOptions { lock_timeout: Duration::from_secs(2), ..PostgresOptions::new(&world.url) };
    let catalog = PostgresCatalog::open(&options).await.unwrap();
    let mut stopped = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = stopped.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM datasets FOR UPDATE").execute(&mut *tx).await.unwrap();
    let waiting = tokio::spawn(async move { world.open_on(&catalog, "tree", "b", TakeOver::IfLapsed).await });
    let in_vain =
        || String::from_utf8_lossy(&server.log()).contains("canceling statement due to lock timeout");
    until("a wait in vain", in_vain).await;
    assert!(!waiting.is_finished(), "it gave up");
    tx.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_transaction_open() {
    let world = World::new(1).await;
    let options = PostgresOptions { pool_size: 1, ..PostgresOptions::new(&world.url) };
    let catalog = Arc::new(PostgresCatalog::open(&options).await.unwrap());
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    for round in 0..200 {
        let dropped = catalog.clone();
        let call = tokio::spawn(async move { dropped.free_unneeded(Duration::ZERO, 1).await });
        // Dropped a little later each time: before, in and after the beginning of its transaction.
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(10 * round) {
            tokio::task::yield_now().await;
        }
        call.abort();
        // Were the connection still in the dropped call's transaction, nobody else would see this.
        let reason = format!("round {round}");
        catalog.pause(BackendId(1), true, &reason).await.unwrap();
        let seen = sqlx::query("SELECT pause_reason FROM backends").fetch_one(&mut other).await.unwrap();
        assert_eq!(seen.get::<String, _>(0), reason);
    }
}
