//! The adaptive limit beside a grid of fixed ones.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bed::{Bed, Served};
use crate::store::{Manner, Model};

const GRID: [u32; 5] = [4, 16, 32, 64, 128];
const LATENCY: Duration = Duration::from_millis(50);

/// Each store: fixed limits for `secs` each, the adaptive one for four times as long, warm-up included.
pub async fn measure(only: Option<&str>, secs: Duration) -> Result<Value> {
    let stores = [
        ("fast", Manner::Fast),
        ("slow-50-ms", Manner::After(LATENCY)),
        ("throttling-above-24", Manner::Crowd(LATENCY, 24)),
        // Each of its states is seen twice by the adaptive limit, and once by each fixed one.
        ("changing", Manner::Changing(LATENCY, 24, secs.as_secs().div_ceil(2).max(1))),
    ];
    let mut rows = Vec::new();
    for (name, manner) in stores.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let mut fixed = Vec::new();
        for limit in GRID {
            let ran = run(manner, (limit, limit), secs).await?;
            fixed.push(json!({ "limit": limit, "per_sec": ran.per_sec.round(), "refused": ran.refused }));
        }
        let best = fixed.iter().filter_map(|row| row["per_sec"].as_f64()).fold(0.0, f64::max);
        let ran = run(manner, (1, 128), secs * 4).await?;
        rows.push(json!({
            "store": name, "fixed": fixed, "of_best": (ran.per_sec / best * 1_000.0).round() / 1_000.0,
            "adaptive": {
                "per_sec": ran.per_sec.round(), "refused": ran.refused, "ended_at": ran.limit, "why": ran.why,
                "warm_up_included_secs": (secs * 4).as_secs(),
            },
        }));
    }
    Ok(Value::Array(rows))
}

struct Ran {
    per_sec: f64,
    refused: u64,
    limit: Option<u32>,
    why: String,
}

async fn run(manner: Manner, bounds: (u32, u32), secs: Duration) -> Result<Ran> {
    let model = Arc::new(Model::new("store", manner));
    // More than can be done: nobody stores more in a second, and the last are not measured.
    let most: u32 = if manner == Manner::Fast { 12_000 } else { 2_700 };
    let jobs = most * u32::try_from(secs.as_secs()).context("so long takes too many jobs")?;
    let bed = Bed::start(&[Served { model: model.clone(), bounds }], jobs).await?;
    while model.stored.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = (Instant::now(), model.stored.load(Relaxed));
    tokio::time::sleep(secs).await;
    let (took, stored) = (began.elapsed().as_secs_f64(), model.stored.load(Relaxed) - before);
    anyhow::ensure!(stored < u64::from(jobs) - 256, "{jobs} jobs are too few");
    let lane = bed.catalog.lanes().await?.pop();
    bed.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let per_sec = stored as f64 / took;
    let (limit, why) = lane.map_or((None, String::new()), |lane| (Some(lane.report.limit), lane.report.why));
    Ok(Ran { per_sec, refused: model.refused.load(Relaxed), limit, why })
}
