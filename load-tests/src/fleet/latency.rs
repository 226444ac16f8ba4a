//! From rows that are committed to the start of their upload, while small commits come at times of their own, answered or not.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use n2s_catalog::Catalog;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Context;
use crate::clock;
use crate::report::Figure;
use crate::roles::{Engine, WorkerOrders, WorkerProcess, open, rows, trace};
use crate::rows::Producer;
use crate::servers::{Cpu, number, until};
use crate::verdict::{Verdict, float, quantile};

/// Half of the load that the jobs' target asks for.
const JOBS_PER_SECOND: usize = 5_000;
const BLOBS: usize = 100;
const SECONDS: usize = 12;
/// What comes before counts for nothing: windows and limits are still learning.
const WARM_UP: Duration = Duration::from_secs(3);
const WORKERS: usize = 2;

type Times = Arc<Mutex<HashMap<i64, u64>>>;

/// Small commits at a steady pace, and when their blobs came to the store.
pub async fn figure(context: &Context) -> Result<Figure> {
    let place = context.servers.place().await?;
    rows(&*place.catalog, 1).await?;
    let producer = Producer::new(&*place.catalog, 1, 1).await?;
    let orders = |worker| WorkerOrders {
        database: place.database.clone(),
        broker: place.broker.clone(),
        name: format!("worker-{worker}"),
        stores: 1,
        concurrency: (256, 2048),
        batch: 256,
        delay_ms: 0,
        trace: Some(trace(context.dir.path(), worker)),
    };
    let workers: Result<Vec<_>> = (0..WORKERS).map(|worker| WorkerProcess::start(&orders(worker))).collect();
    // Connections of its own, as an intake gives it.
    let engine = Engine::start(&open(&place.database).await?, &place.broker, 1).await?;
    let cpu = Cpu::now()?;
    let began = clock::nanos();
    let times = commits(&place.catalog, &engine, producer).await?;
    let took = Duration::from_nanos(clock::nanos() - began).as_secs_f64();
    let cpu = Cpu::now()?.since(&cpu, took);
    let open = "SELECT count(*) FROM changesets WHERE status <> 'completed'";
    let done = || number(&place.database, open).is_ok_and(|open| open == 0);
    until("every changeset completed", Duration::from_mins(1), done).await?;
    engine.stop().await;
    for worker in workers? {
        worker.stop()?;
    }
    let mut waits = waits(context, &times, began)?;
    let [half, most, nearly, all] = [0.5, 0.95, 0.99, 1.0].map(|share| quantile(&mut waits, share));
    let detail = json!({
        "blobs_per_commit": BLOBS, "asked_jobs_per_second": JOBS_PER_SECOND,
        "reached_jobs_per_second": float(times.len()) / took, "uploads": waits.len(),
        "p50_ms": half, "p95_ms": most, "p99_ms": nearly, "max_ms": all, "processors": cpu,
        "from": "the answer of the call that committed the blobs' rows",
    });
    let verdict = Verdict::at_most("commit to start of upload at half the load, p99 ms", nearly, 50.0);
    Ok(Figure { detail, verdicts: vec![verdict] })
}

/// Open loop: a commit that takes long delays no other.
async fn commits(
    catalog: &Arc<dyn Catalog>,
    engine: &Engine,
    producer: Producer,
) -> Result<HashMap<i64, u64>> {
    let times = Times::default();
    let (mut pushes, began) = (JoinSet::new(), Instant::now());
    let every = Duration::from_secs(1) / u32::try_from(JOBS_PER_SECOND / BLOBS)?;
    for n in 0..SECONDS * JOBS_PER_SECOND / BLOBS {
        tokio::time::sleep_until(began + every * u32::try_from(n)?).await;
        let (catalog, bell, times) = (Arc::clone(catalog), engine.bell.clone(), Arc::clone(&times));
        // Two numbers of each push are its manifest's.
        let mut producer = producer.from(1 + i64::try_from(n * (BLOBS + 2))?);
        pushes.spawn(async move {
            let entered = |numbers: &[i64]| {
                let now = clock::nanos();
                bell.ring();
                let mut times = times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                times.extend(numbers.iter().map(|number| (*number, now)));
            };
            producer.push_telling(&*catalog, &format!("small{n}"), BLOBS, entered).await.map(drop)
        });
    }
    while let Some(pushed) = pushes.join_next().await {
        pushed??;
    }
    Ok(Arc::into_inner(times).context("the pushes have ended")?.into_inner().unwrap_or_default())
}

/// Milliseconds, of what was entered after the warm-up.
fn waits(context: &Context, times: &HashMap<i64, u64>, began: u64) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    let from = began + u64::try_from(WARM_UP.as_nanos())?;
    let mut seen = 0;
    for worker in 0..WORKERS {
        let bytes = fs::read(trace(context.dir.path(), worker))?;
        for line in bytes.chunks_exact(16) {
            let (number, at) = line.split_at(8);
            let (number, at) = (i64::from_le_bytes(number.try_into()?), u64::from_le_bytes(at.try_into()?));
            let Some(entered) = times.get(&number) else { continue };
            seen += 1;
            if *entered >= from {
                waits.push(Duration::from_nanos(at.saturating_sub(*entered)).as_secs_f64() * 1_000.0);
            }
        }
    }
    ensure!(seen >= times.len(), "{} of {} blobs came to the store", seen, times.len());
    Ok(waits)
}
