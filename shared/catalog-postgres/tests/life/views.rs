//! What outsiders see, and what a process takes of its server.

use std::time::Duration;

use n2s_catalog::{Backends as _, CatalogError, Jobs as _, Outcome, TakeOver};
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions};
use n2s_domain::{BackendId, FailureKind};
use sqlx::{Connection as _, PgConnection};

use crate::world::{World, finish, hash, stored};

#[tokio::test]
async fn views_tell_what_failed_where_and_how_far_a_changeset_is() {
    let world = World::new(1).await;
    world.push("a", &["one", "two", "three"]).await;
    let claims = world.claim_all(BackendId(1)).await;
    let failed = Outcome::Failed { kind: FailureKind::Denied, message: "no entry".to_owned() };
    let outcomes = [finish(&claims[0], stored()), finish(&claims[1], failed)];
    world.catalog.finish(&outcomes).await.unwrap();
    assert_eq!(world.psql("SELECT status FROM placements ORDER BY blob_id"), "completed\nfailed\nuploading");
    world.fold().await;
    let failed =
        world.psql("SELECT project, backend, error_kind, error_message, retry_count FROM failed_uploads");
    assert_eq!(failed, "dsg|s0|denied|no entry|1");
    assert_eq!(
        world.psql("SELECT name, state, pending, completed, failed, bytes FROM backend_status"),
        "s0|active|1|1|1|50"
    );
    let progress = "SELECT project, dataset, version, status, backend, waiting, failed, manifest FROM changeset_progress";
    assert_eq!(world.psql(progress), "dsg|tree|1|pushing|s0|1|1|waiting");
}

#[tokio::test]
async fn a_snapshots_files_are_those_of_its_version() {
    let world = World::new(1).await;
    world.push("a", &["one", "two"]).await;
    let open = world.open("b", TakeOver::IfLapsed).await.unwrap();
    world.enter(&open.lease, 1, &["three"]).await;
    let sql = "SELECT version, convert_from(filepath, 'UTF8') FROM changesets c
        CROSS JOIN LATERAL (SELECT * FROM files_by_snapshot v WHERE v.snapshot = c.source_snapshot) f ORDER BY 1, 2";
    assert_eq!(world.psql(sql), "1|one\n1|two\n2|one\n2|two", "what is not committed is not seen");
    world.commit(&open.lease, 1).await;
    let hashes = "SELECT encode(content_hash, 'hex') FROM files_by_snapshot WHERE dataset = 'tree' AND filepath = 'three'";
    assert_eq!(world.psql(hashes), hash("three").to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_takes_no_more_connections_than_it_is_given() {
    let world = World::new(1).await;
    let options = PostgresOptions {
        pool_size: 2,
        application_name: "n2s of two".to_owned(),
        ..PostgresOptions::new(&world.url)
    };
    let catalog = std::sync::Arc::new(PostgresCatalog::open(&options).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let catalog = catalog.clone();
        tasks.spawn(async move { catalog.backends().await.unwrap().len() });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 16);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'n2s of two'";
    assert_eq!(world.psql(open), "2");
}

#[tokio::test]
async fn a_statement_ends_at_its_limit_and_its_connection_goes_on() {
    let world = World::new(1).await;
    let mut options = PostgresOptions { pool_size: 1, ..PostgresOptions::new(&world.url) };
    options.statement_timeout = Duration::from_millis(100);
    let catalog = PostgresCatalog::open(&options).await.unwrap();
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE backends").execute(&mut *tx).await.unwrap();
    let ended = catalog.backends().await;
    assert!(
        matches!(&ended, Err(CatalogError::Away { source, .. }) if source.to_string().contains("statement timeout")),
        "{ended:?}"
    );
    tx.rollback().await.unwrap();
    assert_eq!(catalog.backends().await.unwrap().len(), 1);
}
