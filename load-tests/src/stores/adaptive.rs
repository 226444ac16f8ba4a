//! The adaptive limit beside a grid of fixed ones.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bed::{Bed, Served};
use crate::store::{Manner, Model};
use crate::trace::Trace;

const GRID: [u32; 5] = [4, 16, 32, 64, 128];
/// Where each has to see every state of a store.
const SHORT_GRID: [u32; 2] = [32, 128];
const LATENCY: Duration = Duration::from_millis(50);
/// How many times `secs` a store stays as it is: half a minute. What changes sooner than it can be found out suits a limit by chance only.
const STAYS: u32 = 6;

/// Each store: fixed limits for `secs` each, the adaptive one for four times as long, warm-up included. One that changes: fixed ones for both of its
/// states, the adaptive one for both twice.
pub async fn measure(only: Option<&str>, secs: Duration) -> Result<Value> {
    let stores = [
        ("fast", Manner::Fast),
        ("slow-50-ms", Manner::After(LATENCY)),
        ("throttling-above-24", Manner::Crowd(LATENCY, 24)),
        ("changing", Manner::Changing(LATENCY, 24, (secs * STAYS).as_secs())),
    ];
    let mut rows = Vec::new();
    for (name, manner) in stores.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let mut fixed = Vec::new();
        let (grid, secs) = match manner {
            Manner::Changing(..) => (&SHORT_GRID[..], secs * STAYS * 2),
            _ => (&GRID[..], secs),
        };
        let long = if matches!(manner, Manner::Changing(..)) { secs * 2 } else { secs * 4 };
        for limit in grid.iter().copied() {
            let ran = run(manner, (limit, limit), secs).await?;
            fixed.push(json!({
                "limit": limit, "per_sec": ran.trace.per_sec(0.0).round(), "refused_per_sec": ran.trace.refused_per_sec(),
                "served_at_once": ran.trace.served_at_once(),
            }));
        }
        let most = |a: &&Value, b: &&Value| {
            a["per_sec"].as_f64().unwrap_or(0.0).total_cmp(&b["per_sec"].as_f64().unwrap_or(0.0))
        };
        let best =
            fixed.iter().max_by(most).and_then(|row| row["limit"].as_u64()).context("the grid is empty")?;
        let best = u32::try_from(best).context("no limit is so high")?;
        let ran = run(manner, (1, 128), long).await?;
        // The best once more for as long: a catalog that has taken four times as many outcomes is a slower one.
        let beside = run(manner, (best, best), long).await?;
        let share =
            |after: f64| (ran.trace.per_sec(after) / beside.trace.per_sec(after) * 1_000.0).round() / 1_000.0;
        rows.push(json!({
            "store": name, "fixed": fixed,
            "best": { "limit": best, "per_sec": beside.trace.per_sec(0.0).round() },
            "of_best_with_warm_up": share(0.0), "of_best_in_second_half": share(0.5),
            "adaptive": {
                "per_sec": ran.trace.per_sec(0.0).round(), "refused_per_sec": ran.trace.refused_per_sec(),
                "warm_up_included_secs": ran.trace.secs().round(), "ended_at": ran.limit, "why": ran.why,
                "over_time": ran.trace.lines(),
            },
        }));
    }
    Ok(Value::Array(rows))
}

struct Ran {
    trace: Trace,
    limit: Option<u32>,
    why: String,
}

async fn run(manner: Manner, bounds: (u32, u32), secs: Duration) -> Result<Ran> {
    let model = Arc::new(Model::new("store", manner));
    // More than can be done by any that waits; a fast one may be through sooner.
    let most: u32 = if manner == Manner::Fast { 12_000 } else { 2_700 };
    let jobs = most * u32::try_from(secs.as_secs()).context("so long takes too many jobs")?;
    let bed = Bed::start(&[Served { model: model.clone(), bounds }], jobs).await?;
    while model.stored.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let trace = Trace::of(&model, secs, u64::from(jobs) - 256).await;
    anyhow::ensure!(trace.secs() > secs.as_secs_f64() / 4.0, "{jobs} jobs are too few");
    let lane = bed.catalog.lanes().await?.pop();
    bed.stop().await?;
    let (limit, why) = lane.map_or((None, String::new()), |lane| (Some(lane.report.limit), lane.report.why));
    Ok(Ran { trace, limit, why })
}
