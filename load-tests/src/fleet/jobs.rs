//! Jobs end to end: committed rows, dispatched, through the broker, claimed, onto a store that takes no time, finished.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Context;
use crate::peers::{Celery, Results, celery, graphile};
use crate::report::Figure;
use crate::roles::{Engine, WorkerOrders, WorkerProcess};
use crate::rows::Producer;
use crate::servers::{Cpu, Place, Servers, number, until};
use crate::statements::statements;
use crate::verdict::{Verdict, float, median};

const LIMIT: Duration = Duration::from_mins(2);

/// What of Celery is tried, for the best of it. With confirms a publisher waits for each message, so more of them help.
const CELERY: [Celery; 6] = [
    Celery { children: 4, publishers: 4, confirms: true },
    Celery { children: 4, publishers: 12, confirms: true },
    Celery { children: 2, publishers: 1, confirms: false },
    Celery { children: 3, publishers: 1, confirms: false },
    Celery { children: 3, publishers: 2, confirms: false },
    Celery { children: 4, publishers: 2, confirms: false },
];

/// n2s with one store and with three, and what others do on the same servers.
pub async fn figure(context: &Context) -> Result<Figure> {
    let servers = &context.servers;
    let (mut rates, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let outcome = run(servers, Run::fast(100_000, 1)).await?;
        rates.push(outcome.jobs_per_second);
        runs.push(outcome.detail);
    }
    let three = run(servers, Run::fast(99_996, 3)).await?.detail;
    let ours = median(rates);
    let (beside, celery) = celeries(context).await?;
    let graphile = graphile(servers, context.dir.path(), 50_000).await?;
    let detail = json!({
        "one_store": runs, "three_stores": three, "celery": beside, "graphile_worker_jobs_per_second": graphile,
        "graphile_worker": "two processes, 24 at once each, local queue, completions in batches; rows that are there to none",
    });
    let times = ours.zip(celery).map(|(ours, theirs)| ours / theirs);
    let verdicts = vec![
        Verdict::at_least("jobs end to end, per second", ours, 10_000.0),
        Verdict::at_least("jobs end to end, times Celery's best on the same broker", times, 4.0),
    ];
    Ok(Figure { detail, verdicts })
}

/// The best of Celery's settings, measured longer, and what it does when it keeps results as n2s does.
async fn celeries(context: &Context) -> Result<(Value, Option<f64>)> {
    let (servers, dir) = (&context.servers, context.dir.path());
    let mut tried = Vec::new();
    for setting in CELERY {
        if let Some(rate) = celery(servers, dir, setting, (3_000, Results::Ignored)).await? {
            tried.push((rate, setting));
        }
    }
    let fastest = |confirms: bool| {
        let asked = tried.iter().copied().filter(|(_, setting)| setting.confirms == confirms);
        asked.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (Some((_, sure)), Some((_, fast))) = (fastest(true), fastest(false)) else {
        return Ok((json!("not installed"), None));
    };
    let confirmed = celery(servers, dir, sure, (6_000, Results::Ignored)).await?;
    let unconfirmed = celery(servers, dir, fast, (12_000, Results::Ignored)).await?;
    let kept = celery(servers, dir, sure, (3_000, Results::Kept)).await?;
    let shown = tried.iter().map(|(rate, setting)| json!({ "setting": setting, "tasks_per_second": rate }));
    let detail = json!({
        "tried": shown.collect::<Vec<_>>(),
        "confirmed": { "setting": sure, "tasks_per_second": confirmed },
        "unconfirmed": { "setting": fast, "tasks_per_second": unconfirmed },
        "confirmed_with_results_in_postgresql": { "setting": sure, "tasks_per_second": kept },
        "how": "quorum queue, persistent messages, late acks, prefork, prefetch 64; from the first message to the last task",
        "compared_with": "the fastest, without results and without confirms: it promises and records less than n2s does",
    });
    Ok((detail, confirmed.into_iter().chain(unconfirmed).reduce(f64::max)))
}

/// How a run is made up.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub jobs: usize,
    pub stores: usize,
    pub changesets: usize,
    pub workers: usize,
    pub concurrency: (u32, u32),
    pub batch: u32,
    pub delay_ms: u64,
    /// Whether every counter is recounted besides.
    pub audited: bool,
}

impl Run {
    /// What `n2s` does on a fast store: see `n2s_assembly`'s `batch` and the defaults of `[backends.NAME]`.
    pub fn fast(jobs: usize, stores: usize) -> Self {
        Self {
            jobs,
            stores,
            changesets: 4,
            workers: 2,
            concurrency: (256, 2048),
            batch: 256,
            delay_ms: 0,
            audited: true,
        }
    }
}

/// What a run showed.
pub struct Outcome {
    pub jobs_per_second: f64,
    pub detail: Value,
}

/// One run in a place of its own.
pub async fn run(servers: &Servers, run: Run) -> Result<Outcome> {
    let place = servers.place().await?;
    in_place(&place, run, "d", 1).await
}

/// One run in a place that may hold something already.
pub async fn in_place(place: &Place, run: Run, datasets: &str, first: i64) -> Result<Outcome> {
    let mut producer = Producer::new(&*place.catalog, run.stores, first).await?;
    let orders = WorkerOrders {
        database: place.database.clone(),
        broker: place.broker.clone(),
        name: "worker".to_owned(),
        stores: run.stores,
        concurrency: run.concurrency,
        batch: run.batch,
        delay_ms: run.delay_ms,
        trace: None,
    };
    crate::roles::rows(&*place.catalog, run.stores).await?;
    let blobs = run.jobs / run.stores;
    let last = number(&place.database, "SELECT coalesce(max(id), 0) FROM changesets")?;
    let began = Instant::now();
    for n in 0..run.changesets {
        producer.push(&*place.catalog, &format!("{datasets}{n}"), blobs / run.changesets).await?;
    }
    let entered = began.elapsed();
    let workers = WorkerProcess::start_many(&orders, run.workers)?;
    let jobs = number(&place.database, "SELECT count(*) FROM jobs")?;
    n2s_servers::Postgres::psql(&place.database, "SELECT pg_stat_statements_reset()");
    let before = wal(place)?;
    let cpu = Cpu::now()?;
    let began = Instant::now();
    let engine = Engine::start(&place.catalog, &place.broker, run.stores).await?;
    let open = format!("SELECT count(*) FROM changesets WHERE status <> 'completed' AND id > {last}");
    until("every changeset completed", LIMIT, || number(&place.database, &open).is_ok_and(|open| open == 0))
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = Cpu::now()?.since(&cpu, seconds);
    let wal = wal(place)? - before;
    engine.stop().await;
    for worker in workers {
        worker.stop()?;
    }
    let lost = number(&place.database, &lost(last))?;
    let doubled = if run.audited { place.catalog.audit().await?.len() } else { 0 };
    let (count, wal) = (float(usize::try_from(jobs)?), float(usize::try_from(wal)?));
    // Each changeset has a manifest on each store besides.
    let all = count + f64::from(u32::try_from(run.changesets * run.stores)?);
    let detail = json!({
        "jobs": all, "stores": run.stores, "changesets": run.changesets, "workers": run.workers,
        "seconds": seconds, "jobs_per_second": all / seconds,
        "rows_entered_per_second": count / entered.as_secs_f64(),
        "lost": lost, "double_counted": doubled,
        "wal_bytes_per_job": wal / all, "processors": cpu,
        "statements": statements(&place.database),
    });
    ensure!(lost == 0 && doubled == 0, "the books do not balance: {detail}");
    Ok(Outcome { jobs_per_second: all / seconds, detail })
}

/// What has no end, of the changesets after one.
fn lost(after: i64) -> String {
    format!(
        "SELECT (SELECT count(*) FROM jobs)
            + (SELECT count(*) FROM changeset_backends WHERE manifest <> 'completed' AND changeset_id > {after})
            + (SELECT count(*) FROM blobs l JOIN blob_backends s ON s.blob_id = l.id
                WHERE l.first_seen > {after} AND (s.status <> 'completed' OR s.completed_at IS NULL OR l.staging_id IS NOT NULL))"
    )
}

fn wal(place: &Place) -> Result<i64> {
    number(&place.database, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
}
