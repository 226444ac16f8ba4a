//! What a store that is dead, slow, or answers nothing costs another one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bed::{Bed, Served};
use crate::store::{Manner, Model};

/// The store that is measured: it answers after 5 ms, to 32 at once.
const WELL: Manner = Manner::After(Duration::from_millis(5));

/// The rate of a store alone, before and after its rates beside others.
pub async fn measure(only: Option<&str>, secs: Duration) -> Result<Value> {
    let beside = [
        ("dead", Manner::Dead),
        ("answers-nothing", Manner::Hangs),
        ("slow-500-ms", Manner::After(Duration::from_millis(500))),
        ("throttles-everything", Manner::Crowd(Duration::ZERO, 0)),
    ];
    let mut alone = vec![rate(None, secs).await?];
    let mut rows = Vec::new();
    for (name, manner) in beside.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        rows.push((name, rate(Some(manner), secs).await?));
    }
    alone.push(rate(None, secs).await?);
    let base = f64::midpoint(alone[0], alone[1]);
    let row = |(name, rate): &(&str, f64)| json!({ "beside": name, "per_sec": rate.round(), "of_alone": (rate / base * 1_000.0).round() / 1_000.0 });
    let alone: Vec<_> = alone.iter().map(|rate| rate.round()).collect();
    Ok(json!({ "alone_per_sec": alone, "beside": rows.iter().map(row).collect::<Vec<_>>() }))
}

async fn rate(beside: Option<Manner>, secs: Duration) -> Result<f64> {
    let well = Arc::new(Model::new("well", WELL));
    let mut stores = vec![Served { model: well.clone(), bounds: (32, 32) }];
    if let Some(manner) = beside {
        stores.push(Served { model: Arc::new(Model::new("other", manner)), bounds: (1, 64) });
    }
    let jobs = 7_000 * u32::try_from(secs.as_secs()).context("so long takes too many jobs")?;
    let bed = Bed::start(&stores, jobs).await?;
    while well.stored.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = (Instant::now(), well.stored.load(Relaxed));
    tokio::time::sleep(secs).await;
    let (took, stored) = (began.elapsed().as_secs_f64(), well.stored.load(Relaxed) - before);
    anyhow::ensure!(stored < u64::from(jobs) - 256, "{jobs} jobs are too few");
    bed.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let rate = stored as f64 / took;
    Ok(rate)
}
