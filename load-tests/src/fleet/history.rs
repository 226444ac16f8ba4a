//! What ten million finished placements cost the jobs of today, and those who ask how things stand.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use n2s_catalog::{FailedFilter, Page};
use n2s_domain::ChangesetId;
use n2s_servers::Postgres;
use serde_json::{Value, json};

use crate::Context;
use crate::jobs::{Outcome, Run, in_place};
use crate::report::Figure;
use crate::roles::rows;
use crate::rows::Producer;
use crate::servers::{Place, number};
use crate::verdict::{Verdict, float, median, quantile};

const STORES: usize = 3;
/// Unless `N2S_LOAD_PLACEMENTS` says otherwise.
const PLACEMENTS: usize = 10_000_000;
/// Of the one changeset that is asked for: its files have rows. The rest is of another, whose files are left out: nothing here reads them.
const FILES: usize = 1_000_000;
const ASKED: usize = 200;
const PAGE: u32 = 100;
const JOBS: usize = 60_000;
/// Runs with history and without, in turn.
const ROUNDS: usize = 3;
const JOBS_FIRST: i64 = 1 << 40;

/// History, the same jobs with it and without, and what people ask.
pub async fn figure(context: &Context) -> Result<Figure> {
    let place = context.servers.place().await?;
    rows(&*place.catalog, STORES).await?;
    Producer::new(&*place.catalog, STORES, 1).await?;
    let asked = std::env::var("N2S_LOAD_PLACEMENTS").map_or(Ok(PLACEMENTS), |asked| asked.parse())?;
    let (began, sql) = (Instant::now(), script(asked.div_ceil(STORES)));
    for step in sql.split(";;") {
        Postgres::psql(&place.database, step);
    }
    // What comes now is to be measured beside history, and not beside its being written to the disk.
    Postgres::psql(&place.database, "CHECKPOINT");
    ensure!(Command::new("sync").status()?.success(), "the disk takes no more");
    let filled = began.elapsed().as_secs_f64();
    let (with, without) = rates(context, &place).await?;
    let rate = |outcome: &Outcome| outcome.jobs_per_second;
    let runs = json!({
        "with": with.iter().map(|outcome| &outcome.detail).collect::<Vec<_>>(),
        "empty": without.iter().map(|outcome| &outcome.detail).collect::<Vec<_>>(),
    });
    let (with, without): (Vec<_>, Vec<_>) =
        (with.iter().map(rate).collect(), without.iter().map(rate).collect());
    let (questions, slowest) = questions(&place).await?;
    let size = |what: &str| number(&place.database, &format!("SELECT pg_total_relation_size('{what}')"));
    let placements = number(&place.database, "SELECT count(*) FROM blob_backends")?;
    let whole = number(&place.database, "SELECT pg_database_size(current_database())")?;
    let detail = json!({
        "placements": placements, "stores": STORES, "failed_among_them": asked / 1_000, "files_with_rows": FILES,
        "filled_in_seconds": filled, "jobs_per_second": with, "jobs_per_second_when_empty": without,
        "runs": runs, "questions": questions, "asked_each": ASKED,
        "bytes_per_placement": size("blob_backends")? / placements,
        "bytes_per_placement_with_everything_in_the_catalog": whole / placements,
        "largest": "these; N2S_LOAD_PLACEMENTS asks for more. No plan of a question reads history: see `plans`",
        "plans": plans(&place),
    });
    let share = median(with).zip(median(without)).map(|(with, without)| with / without);
    let verdicts = vec![
        Verdict::at_least(
            format!("jobs per second with {asked} finished placements, of those when empty"),
            share,
            0.8,
        ),
        Verdict::at_most(format!("slowest question about {asked} placements, p99 ms"), slowest, 50.0),
    ];
    Ok(Figure { detail, verdicts })
}

async fn rates(context: &Context, place: &Place) -> Result<(Vec<Outcome>, Vec<Outcome>)> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let run = Run { audited: false, ..Run::fast(JOBS, 1) };
        // Neither is always the first.
        for history in [round % 2 == 1, round % 2 == 0] {
            if history {
                let first = JOBS_FIRST * (1 + i64::try_from(round)?);
                with.push(in_place(place, run, &format!("round{round}-"), first).await?);
            } else {
                let empty = context.servers.place().await?;
                without.push(in_place(&empty, run, "d", 1).await?);
            }
        }
    }
    Ok((with, without))
}

/// Milliseconds, 99 of 100, of each question; and of the slowest.
async fn questions(place: &Place) -> Result<(Value, Option<f64>)> {
    let catalog = &place.catalog;
    let id = Postgres::psql(&place.database, "SELECT uuid FROM changesets ORDER BY id LIMIT 1");
    let id = ChangesetId(id.parse().context("a changeset's id")?);
    let (mut failed, mut later, mut backends, mut status) = (vec![], vec![], vec![], vec![]);
    let page = |after| Page { after, limit: PAGE };
    let first = catalog.failed_uploads(&FailedFilter::default(), &page(None)).await?;
    let last = first.last().context("failures were made")?.key.clone();
    for _ in 0..ASKED {
        let began = Instant::now();
        catalog.failed_uploads(&FailedFilter::default(), &page(None)).await?;
        failed.push(millis(began));
        let began = Instant::now();
        catalog.failed_uploads(&FailedFilter::default(), &page(Some(last.clone()))).await?;
        later.push(millis(began));
        let began = Instant::now();
        catalog.backends().await?;
        backends.push(millis(began));
        let began = Instant::now();
        catalog.changeset(id).await?;
        status.push(millis(began));
    }
    let [failed, later, backends, status] =
        [failed, later, backends, status].map(|mut times| quantile(&mut times, 0.99));
    let slowest = [failed, later, backends, status].into_iter().flatten().reduce(f64::max);
    let shown = json!({
        "a_page_of_failed_uploads_p99_ms": failed, "the_next_page_p99_ms": later, "backend_status_p99_ms": backends,
        "status_of_a_changeset_of_1000000_blobs_p99_ms": status,
    });
    Ok((shown, slowest))
}

fn millis(began: Instant) -> f64 {
    Duration::as_secs_f64(&began.elapsed()) * 1_000.0
}

/// How the server finds the answers that outsiders' views give.
fn plans(place: &Place) -> Vec<String> {
    let ask = "EXPLAIN (COSTS OFF) SELECT * FROM backend_status; EXPLAIN (COSTS OFF) SELECT * FROM changeset_progress WHERE changeset_id = 1";
    Postgres::psql(&place.database, ask).lines().map(str::to_owned).collect()
}

/// Steps, each a transaction of its own. Ids count from 1: the catalog is fresh.
fn script(blobs: usize) -> String {
    let share = float(blobs) / float(FILES);
    debug_assert!(share >= 1.0, "more files than blobs");
    format!(
        "INSERT INTO projects (name, vault_id) VALUES ('load', 'loadtest');
         INSERT INTO datasets (project_id, name, store_key, next_version) SELECT 1, 'history' || n, sha256(int8send(n)), 2 FROM generate_series(1, 2) n;
         INSERT INTO dataset_backends SELECT d.id, b.id FROM datasets d, backends b;
         INSERT INTO changesets (uuid, dataset_id, version, client_id, status, min_copies, started_at, touched_at, committed_at, completed_at,
            file_count, total_size, blob_count, added)
         SELECT gen_random_uuid(), n, 1, 'load', CASE n WHEN 1 THEN 'completed' ELSE 'failed' END, {STORES}, now(), now(), now(), now(),
            {FILES}, {FILES} * 8192::bigint, {FILES}, {FILES} FROM generate_series(1, 2) n;
         UPDATE datasets SET head_id = id;
         INSERT INTO changeset_backends (changeset_id, backend_id, manifest, completed_at)
         SELECT c.id, b.id, CASE c.id WHEN 1 THEN 'completed' ELSE 'blocked' END, now() FROM changesets c, backends b
         ;; SET synchronous_commit = off;
         INSERT INTO blobs (project_id, content_hash, size, sealed_hash, encrypted_size, epoch, first_seen, min_copies)
         SELECT 1, sha256(int8send(n)), 8192, sha256(int8send(-n)), 8300, 1, CASE WHEN n <= {FILES} THEN 1 ELSE 2 END, {STORES}
         FROM generate_series(1, {blobs}) n
         ;; SET synchronous_commit = off;
         INSERT INTO files (dataset_id, filepath, from_version, changeset_id, kind, mode, uid, gid, mtime_secs, mtime_nanos, size, content_hash, blob_id)
         SELECT 1, convert_to('d' || lpad((n / 1000)::text, 5, '0') || '/f' || n, 'UTF8'), 1, 1, 'f', 420, 0, 0, 0, 0, 8192,
            sha256(int8send(n)), n FROM generate_series(1, {FILES}) n
         ;; SET synchronous_commit = off;
         INSERT INTO blob_backends (blob_id, backend_id, status, attempted_at, completed_at, retry_count, error_kind, error_message)
         SELECT n, s, CASE WHEN failed THEN 'failed' ELSE 'completed' END, now(), CASE WHEN NOT failed THEN now() END,
            CASE WHEN failed THEN 5 ELSE 0 END, CASE WHEN failed THEN 'denied' END, CASE WHEN failed THEN 'a policy forbids this object' END
         FROM generate_series(1, {blobs}) n CROSS JOIN generate_series(1, {STORES}) s
         CROSS JOIN LATERAL (SELECT n > {FILES} AND n * {STORES} % 1000 < {STORES} AND s = 1 AS failed) f
         ;; UPDATE backends b SET completed = t.completed, failed = t.failed, bytes = t.completed * 8300
         FROM (SELECT backend_id, count(*) FILTER (WHERE status = 'completed') AS completed,
            count(*) FILTER (WHERE status = 'failed') AS failed FROM blob_backends GROUP BY 1) t WHERE t.backend_id = b.id
         ;; INSERT INTO placement_waiters SELECT blob_id, backend_id, 2 FROM blob_backends WHERE status = 'failed';
         UPDATE changeset_backends c SET failed = b.failed FROM backends b WHERE b.id = c.backend_id AND c.changeset_id = 2
         ;; VACUUM (ANALYZE) blobs ;; VACUUM (ANALYZE) files ;; VACUUM (ANALYZE) blob_backends"
    )
}
