//! A way to the server that drops what is sent, and says nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use n2s_catalog::{Audit as _, Backends as _, CatalogError, Drift, Pushes as _, TakeOver, Vaults as _};
use n2s_catalog_postgres::{Leadership, Office, PostgresCatalog, PostgresOptions};
use n2s_servers::Proxy;
use n2s_telemetry::metrics;
use sqlx::{Connection as _, PgConnection};
use tokio::task::{JoinHandle, JoinSet};

use crate::world::World;

const SIZE: u32 = 3;
const WAITS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

struct Behind {
    world: World,
    proxy: Proxy,
    catalog: Arc<PostgresCatalog>,
    options: PostgresOptions,
}

/// A catalog of three connections behind a link, all of them made.
async fn behind(pool_name: &'static str) -> Behind {
    let world = World::new(1).await;
    let direct = world.url.clone();
    let (proxy, url) = tokio::task::spawn_blocking(move || Proxy::before(&direct)).await.unwrap();
    let options = PostgresOptions {
        pool_size: SIZE,
        pool_name,
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_millis(500),
        application_name: "n2s behind a link".to_owned(),
        ..PostgresOptions::new(url)
    };
    let catalog = Arc::new(PostgresCatalog::open(&options).await.unwrap());
    while proxy.connections() < u64::from(SIZE) + 1 {
        let mut calls = JoinSet::new();
        for _ in 0..2 * SIZE {
            let catalog = Arc::clone(&catalog);
            calls.spawn(async move { catalog.catalog_id().await.unwrap() });
        }
        calls.join_all().await;
    }
    Behind { world, proxy, catalog, options }
}

fn assert_away<T: std::fmt::Debug>(ended: &Result<T, CatalogError>) {
    assert!(matches!(ended, Err(CatalogError::Away { .. })), "{ended:?}");
}

/// Waits until the server is heard again; whatever fails meanwhile fails because it is away.
async fn until_heard(catalog: &PostgresCatalog) {
    let begun = Instant::now();
    loop {
        let ended = catalog.backends().await;
        if ended.is_ok() {
            return;
        }
        assert_away(&ended);
        assert!(begun.elapsed() < Duration::from_secs(30), "not heard of again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_to_a_silent_server_ends_and_takes_nothing_with_it() {
    let Behind { world, proxy, catalog, .. } = behind("silent").await;
    let open = world.open("a", TakeOver::IfLapsed).await.unwrap();
    proxy.stall();
    let (read, written) = tokio::join!(catalog.backends(), catalog.renew_push(&open.lease, Duration::ZERO));
    assert_away(&read);
    let said = n2s_telemetry::report(&written.unwrap_err());
    assert!(
        said.starts_with("the catalog's server is away; it was to renew a write lease: ")
            && said.contains("did not answer within 5 s"),
        "{said}"
    );
    // More than there are places for: none of them is held by those that were cut off.
    for _ in 0..=SIZE {
        assert_away(&catalog.backends().await);
    }
    proxy.heal();
    until_heard(&catalog).await;
    // What was cut off holds nothing, neither here nor there.
    world.catalog.renew_push(&open.lease, Duration::from_mins(1)).await.unwrap();
    let idle = || metrics::render().contains("n2s_catalog_connections{pool=\"silent\",state=\"in_use\"} 0\n");
    let begun = Instant::now();
    while !idle() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", metrics::render());
        tokio::task::yield_now().await;
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'n2s behind a link'
        AND datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(world.psql(count), "0");
    let shown = metrics::render();
    assert!(shown.contains("n2s_catalog_connections_max{pool=\"silent\"} 3\n"), "{shown}");
    assert!(shown.contains("n2s_catalog_calls_waiting{pool=\"silent\"} 0\n"), "{shown}");
    assert!(!shown.contains("n2s_catalog_calls_unanswered_total 0\n"), "{shown}");
    assert!(
        shown.contains("n2s_catalog_call_duration_seconds_count{call=\"renew a write lease\"}"),
        "{shown}"
    );
}

/// A firewall forgot them; the link itself is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_went_silent_are_found_out_together() {
    let Behind { proxy, catalog, .. } = behind("stranded").await;
    proxy.strand();
    let before = proxy.connections();
    // At most the first is lost: then all of their age are doubted, and none of them is waited for.
    let first = catalog.backends().await;
    if first.is_err() {
        assert_away(&first);
    }
    let held = proxy.held_back();
    for _ in 0..2 * SIZE {
        catalog.backends().await.unwrap();
    }
    assert!(proxy.connections() > before && held > 0, "nothing was stranded");
}

/// A recount that waits for a table, which `holder` has in a transaction.
async fn held_up(
    world: &World,
    holder: &mut PgConnection,
    catalog: Arc<PostgresCatalog>,
) -> JoinHandle<Result<Vec<Drift>, CatalogError>> {
    for statement in ["BEGIN", "LOCK TABLE blob_backends"] {
        sqlx::query(statement).execute(&mut *holder).await.unwrap();
    }
    let counting = tokio::spawn(async move { catalog.audit().await });
    while world.psql(WAITS) != "1" {
        assert!(!counting.is_finished(), "it does not wait");
    }
    counting
}

/// It has no limit of its own; its answer is lost on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recount_that_nobody_will_hear_of_ends() {
    let Behind { world, proxy, catalog, .. } = behind("recount").await;
    let mut holder = PgConnection::connect(&world.url).await.unwrap();
    let counting = held_up(&world, &mut holder, catalog).await;
    proxy.strand();
    holder.close().await.unwrap();
    assert_away(&counting.await.unwrap());
    assert!(proxy.held_back() > 0, "nothing was stranded");
}

/// It takes the only connection, for as long as there are rows, and is looked after all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recount_that_has_the_only_connection_is_heard_of() {
    let Behind { world, proxy, options, .. } = behind("single").await;
    let catalog = PostgresCatalog::open(&PostgresOptions { pool_size: 1, ..options }).await.unwrap();
    let catalog = Arc::new(catalog);
    let mut holder = PgConnection::connect(&world.url).await.unwrap();
    let counting = held_up(&world, &mut holder, catalog).await;
    let (before, begun) = (proxy.connections(), Instant::now());
    while proxy.connections() == before {
        assert!(begun.elapsed() < Duration::from_secs(15), "nobody looks");
        tokio::task::yield_now().await;
    }
    holder.close().await.unwrap();
    assert_eq!(counting.await.unwrap().unwrap(), []);
}

/// Who asked has gone, as a client of the API does that loses its patience: the server does not go on for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_any_more_ends_at_the_server_too() {
    let world = World::new(1).await;
    let patient =
        PostgresOptions { lock_timeout: Duration::from_hours(1), ..PostgresOptions::new(&world.url) };
    let catalog = Arc::new(PostgresCatalog::open(&patient).await.unwrap());
    let mut holder = PgConnection::connect(&world.url).await.unwrap();
    let counting = held_up(&world, &mut holder, catalog).await;
    counting.abort();
    let begun = Instant::now();
    while world.psql(WAITS) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offices_behind_a_silent_link_are_lost() {
    let Behind { proxy, options, .. } = behind("office").await;
    let mut holder = Leadership::try_take(&options, &[Office::Folder]).await.unwrap().unwrap();
    assert!(holder.holds().await);
    proxy.stall();
    let (holds, stands, opens) =
        tokio::join!(holder.holds(), Leadership::stand(&options), PostgresCatalog::open(&options));
    assert!(!holds, "nobody can tell");
    assert_away(&stands);
    assert_away(&opens);
}
