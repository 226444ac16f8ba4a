//! A catalog with a long history costs no more than a new one. The server itself reports the plan and the pages of every statement
//! that a push, dispatchers, workers, the folder and the sweeper send, beside a million finished placements. Rejected: EXPLAIN of copies of the
//! statements, which go on passing when the code changes; and times, which say more about the machine.

use std::time::Duration;

use n2s_catalog::{
    Backends as _, CatalogError, ChangesetFilter, FailedFilter, Jobs as _, Library as _, Operate as _,
    Outcome, Page, Pushes as _, StagingBook as _, TakeOver,
};
use n2s_domain::{BackendId, BlobId, ChangesetId, ChangesetStatus, FailureKind};
use n2s_servers::Postgres;
use serde_json::Value;

use crate::world::{World, finish, project, stored};

/// Tables that keep rows of what is over.
const HISTORY: &[&str] = &[
    "blobs",
    "blob_backends",
    "files",
    "file_blobs",
    "changesets",
    "changeset_backends",
    "manifest_objects",
    "push_batches",
];

/// Pages that one statement may touch: a few per row and index, for batches of 16. The history has tens of thousands.
const PAGES_MAX: u64 = 1_500;
/// The same for what goes through all of staging, once.
const STAGING_PAGES_MAX: u64 = 200_000;

/// 200,000 files of as many blobs, each on five stores, in 20,000 versions of one dataset.
const SEED: &str = "
    -- Written once and never read again after a crash: quicker, and planned alike. Nor are references looked up.
    ALTER TABLE blobs SET UNLOGGED; ALTER TABLE blob_backends SET UNLOGGED;
    ALTER TABLE file_blobs SET UNLOGGED; ALTER TABLE files SET UNLOGGED;
    SET LOCAL session_replication_role = replica;
    INSERT INTO datasets (project_id, name, store_key, next_version)
        SELECT id, 'old', decode(repeat('09', 32), 'hex'), 20001 FROM projects;
    INSERT INTO dataset_backends SELECT d.id, b.id FROM datasets d, backends b WHERE d.name = 'old';
    INSERT INTO changesets (uuid, dataset_id, version, client_id, status, min_copies, touched_at, committed_at, completed_at, file_count)
        SELECT gen_random_uuid(), d.id, v, 'x', 'completed', 5, n2s_now(), n2s_now(), n2s_now(), 200000
        FROM datasets d, generate_series(1, 20000) v WHERE d.name = 'old';
    UPDATE changesets c SET parent_id = p.id FROM changesets p WHERE p.dataset_id = c.dataset_id AND p.version = c.version - 1;
    UPDATE datasets d SET head_id = c.id FROM changesets c WHERE c.dataset_id = d.id AND c.version = 20000;
    INSERT INTO changeset_backends (changeset_id, backend_id, manifest, completed_at)
        SELECT c.id, b.id, 'completed', n2s_now() FROM changesets c, backends b WHERE c.client_id = 'x';
    INSERT INTO manifest_objects (changeset_id, part, sealed_hash, size)
        SELECT c.id, p, sha256(int8send(c.id)), 9 FROM changesets c, unnest(ARRAY['header', 'body']) p WHERE c.client_id = 'x';
    INSERT INTO push_batches (changeset_id, batch) SELECT id, 1 FROM changesets WHERE client_id = 'x';
    WITH made AS (
        INSERT INTO blobs (project_id, content_hash, size, sealed_hash, encrypted_size, epoch, first_seen, min_copies)
        SELECT p.id, sha256(int8send(n)), 5, sha256(int8send(-n)), 50, 1, c.id, 5
        FROM projects p, generate_series(1, 200000) n, (SELECT id FROM changesets WHERE client_id = 'x' LIMIT 1) c RETURNING id),
    placed AS (
        INSERT INTO blob_backends (blob_id, backend_id, status, attempted_at, completed_at)
        SELECT m.id, b.id, 'completed', n2s_now(), n2s_now() FROM made m, backends b)
    INSERT INTO files (dataset_id, filepath, from_version, to_version, changeset_id, kind, mode, uid, gid, mtime_secs, mtime_nanos,
            size, blob_id)
        SELECT d.id, convert_to('dir/' || m.id, 'UTF8'), 1 + m.id % 20000, CASE WHEN m.id % 2 = 0 THEN 20000 END, d.head_id, 'f', 420,
            1, 1, 0, 0, 5, m.id
        FROM made m, datasets d WHERE d.name = 'old';
    INSERT INTO file_blobs (file_id, seq, blob_id, byte_offset, size)
        SELECT id, 0, blob_id, 0, 5 FROM files WHERE id % 10 = 0;
    ANALYZE;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_analyze = on', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_buffers = on', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_timing = off', current_database());
        EXECUTE format('ALTER DATABASE %I SET auto_explain.log_format = json', current_database());
    END $$;";

/// What came since the statistics were made, which know of no blob in staging, no pin and no job: a push of 20,000 blobs that waits for a
/// paused store, and another that was told of the same blobs. Indexes of what is live look empty to the planner then, and free.
const BACKLOG: &str = "
    SET LOCAL session_replication_role = replica;
    INSERT INTO backends (name, kind, paused_by, paused_at) VALUES ('busy', 'local', 'operator', n2s_now());
    INSERT INTO datasets (project_id, name, store_key, next_version)
        SELECT p.id, n, sha256(n::bytea), 2 FROM projects p, unnest(ARRAY['busy', 'told']) n;
    INSERT INTO dataset_backends SELECT d.id, b.id FROM datasets d, backends b WHERE d.name IN ('busy', 'told') AND b.name = 'busy';
    INSERT INTO changesets (uuid, dataset_id, version, client_id, status, min_copies, touched_at, committed_at)
        SELECT gen_random_uuid(), id, 1, name, 'pushing', 1, n2s_now(), CASE name WHEN 'busy' THEN n2s_now() END
        FROM datasets WHERE name IN ('busy', 'told');
    INSERT INTO changeset_backends (changeset_id, backend_id, waiting)
        SELECT c.id, b.id, 20000 FROM changesets c, backends b WHERE c.client_id = 'busy' AND b.name = 'busy';
    WITH made AS (
        INSERT INTO blobs (project_id, content_hash, size, sealed_hash, encrypted_size, epoch, first_seen, min_copies, staging_id, staged_at)
        SELECT p.id, sha256(int8send(1000000 + n)), 5, sha256(int8send(-1000000 - n)), 50, 1, c.id, 1, n, n2s_now()
        FROM projects p, generate_series(1, 20000) n, changesets c WHERE c.client_id = 'busy' RETURNING id),
    pinned AS (
        INSERT INTO pins (blob_id, changeset_id) SELECT m.id, c.id FROM made m, changesets c WHERE c.client_id = 'told'),
    placed AS (
        INSERT INTO blob_backends (blob_id, backend_id, status) SELECT m.id, b.id, 'pending' FROM made m, backends b WHERE b.name = 'busy'),
    waiting AS (
        INSERT INTO placement_waiters (blob_id, backend_id, changeset_id)
        SELECT m.id, b.id, c.id FROM made m, backends b, changesets c WHERE b.name = 'busy' AND c.client_id = 'busy')
    INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id)
        SELECT 'upload', b.id, p.id, c.id, m.id FROM made m, backends b, projects p, changesets c
        WHERE b.name = 'busy' AND c.client_id = 'busy';
    DO $$ DECLARE name text; BEGIN
        FOREACH name IN ARRAY ARRAY['blobs', 'pins', 'blob_backends', 'placement_waiters', 'jobs', 'changesets'] LOOP
            EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name);
        END LOOP;
    END $$;";

/// What an outage leaves: 40,000 failures.
const FAILURES: &str = "
    SET auto_explain.log_min_duration = -1;
    UPDATE blob_backends SET status = 'failed', error_kind = 'denied', error_message = 'no'
        WHERE backend_id = 2 AND status = 'completed' AND blob_id % 5 = 0";

#[tokio::test]
async fn no_statement_of_the_hot_path_grows_with_history() {
    check("").await;
}

#[tokio::test]
async fn nor_with_a_backlog_that_the_statistics_do_not_know() {
    check(BACKLOG).await;
}

/// Pushes and works beside history and `more`, and complains of every statement that read too much.
async fn check(more: &str) {
    let server = Postgres::start();
    let small = World::on(&server, 5).await;
    small.push("a", &["seed"]).await;
    small.work().await;
    small.psql(&[SEED, more].concat());
    let world = small.again().await;
    let before = server.log().len();
    live(&world).await;
    let log = server.log();
    let plans = plans(&String::from_utf8_lossy(&log[before..]));
    // Whatever the plans are, they must be those of the statements meant.
    for statement in [
        "SKIP LOCKED",
        "dispatch_seq",
        "status = 'completed'",
        "placement_waiters",
        "completion_deltas",
        "INTO files",
    ] {
        assert!(
            plans.iter().any(|plan| text(plan).contains(statement)),
            "no plan of {statement} was reported"
        );
    }
    let bad: Vec<_> = plans.iter().filter_map(complaint).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// A push on top of the history, its work with every outcome, and all that goes on beside it.
async fn live(world: &World) {
    let names: Vec<String> = (0..16).map(|n| format!("dir/{}", n * 1_000)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let open = world.open_dataset("old", "b", TakeOver::IfLapsed).await.unwrap();
    world.enter(&open.lease, 1, &names).await;
    world.catalog.renew_push(&open.lease, Duration::from_mins(1)).await.unwrap();
    world.commit(&open.lease, 1).await;
    let store = BackendId(1);
    let claims = world.claim_all(store).await;
    assert_eq!(claims.len(), 16);
    let held: Vec<_> = claims.iter().map(|claim| claim.claim).collect();
    world.catalog.heartbeat(&held, Duration::from_mins(1)).await.unwrap();
    world.catalog.sweep_jobs(100).await.unwrap();
    world.catalog.in_window(store).await.unwrap();
    world.catalog.backlogs().await.unwrap();
    world.catalog.traces(&claims.iter().map(|claim| claim.claim.job).collect::<Vec<_>>()).await.unwrap();
    world.catalog.depths().await.unwrap();
    world.catalog.copies(BlobId(77)).await.unwrap();
    world.catalog.manifest_copies(open.lease.changeset).await.unwrap();
    let failed = || Outcome::Failed { kind: FailureKind::Denied, message: "no".to_owned() };
    let retry = || Outcome::Retry {
        after: Duration::ZERO,
        charged: true,
        error: Some((FailureKind::Unavailable, "slow".to_owned())),
    };
    let outcome = |n: usize| match n % 3 {
        0 => stored(),
        1 => failed(),
        _ => retry(),
    };
    let outcomes: Vec<_> = claims.iter().enumerate().map(|(n, claim)| finish(claim, outcome(n))).collect();
    world.catalog.finish(&outcomes).await.unwrap();
    world.work().await;
    assert_eq!(world.catalog.retry_failed(&FailedFilter::default(), 100).await.unwrap().placements, 5);
    world.work().await;
    world.catalog.free_unneeded(Duration::ZERO, 100).await.unwrap();
    world.catalog.free_early(100).await.unwrap();
    world.catalog.abandon_idle(Duration::from_hours(1)).await.unwrap();
    world.catalog.undo_step(100).await.unwrap();
    let record = world.catalog.changeset(open.lease.changeset).await.unwrap();
    assert_eq!(record.status, ChangesetStatus::Completed);
    look(world, open.lease.changeset).await;
}

/// What operators ask every day, of the catalog and of the views.
async fn look(world: &World, changeset: ChangesetId) {
    world.psql(FAILURES);
    let page = |after| Page { after, limit: 10 };
    world.catalog.backends().await.unwrap();
    let all = FailedFilter::default();
    let first = world.catalog.failed_uploads(&all, &page(None)).await.unwrap();
    let next = world.catalog.failed_uploads(&all, &page(Some(first[9].key.clone()))).await.unwrap();
    assert_eq!(next.len(), 10);
    let none = world.catalog.failed_uploads(&all, &page(Some("next".to_owned()))).await.unwrap_err();
    assert!(matches!(none, CatalogError::Unknown { what: "page", .. }), "{none:?}");
    let filter = ChangesetFilter { project: Some(project()), ..ChangesetFilter::default() };
    assert_eq!(world.catalog.changesets(&filter, &Page { after: None, limit: 10 }).await.unwrap().len(), 10);
    world.catalog.datasets(Some(&project())).await.unwrap();
    world.psql("SELECT * FROM failed_uploads LIMIT 10");
    world.psql("SELECT * FROM backend_status");
    world.psql(&format!("SELECT * FROM changeset_progress WHERE changeset = '{changeset}'"));
}

fn plans(log: &str) -> Vec<Value> {
    let plan = |rest: &str| {
        let lines: String = rest.lines().take_while(|line| line.starts_with('\t')).collect();
        serde_json::from_str(&lines).unwrap_or_else(|error| panic!("{error} in {lines}"))
    };
    log.split("plan:\n").skip(1).map(plan).collect()
}

fn text(plan: &Value) -> &str {
    plan["Query Text"].as_str().unwrap()
}

/// What is wrong with a statement's plan.
fn complaint(plan: &Value) -> Option<String> {
    let top = &plan["Plan"];
    let pages = top["Shared Hit Blocks"].as_u64().unwrap() + top["Shared Read Blocks"].as_u64().unwrap();
    let scanned = scanned(top);
    let most = if text(plan).contains("l.staged_at <") { STAGING_PAGES_MAX } else { PAGES_MAX };
    (pages > most || !scanned.is_empty())
        .then(|| format!("{pages} pages, all of {scanned:?}: {}\n{top}", text(plan)))
}

/// The tables of history that the plan reads from end to end.
fn scanned(node: &Value) -> Vec<&str> {
    let own = node["Relation Name"]
        .as_str()
        .filter(|table| node["Node Type"].as_str().unwrap().ends_with("Seq Scan") && HISTORY.contains(table));
    let below = node["Plans"].as_array().into_iter().flatten().flat_map(scanned);
    own.into_iter().chain(below).collect()
}
