//! More workers on a store that is slow to answer.

use anyhow::Result;
use serde_json::json;

use crate::Context;
use crate::jobs::{Run, run};
use crate::report::Figure;
use crate::verdict::Verdict;

const WORKERS: [usize; 3] = [1, 4, 16];
/// Seconds of work for each worker at its best: 16 at once, 20 times a second.
const SECONDS: usize = 12;

/// 1, 4 and 16 workers, 16 objects under way in each, a store that answers after 50 ms.
pub async fn figure(context: &Context) -> Result<Figure> {
    let mut rates = Vec::new();
    let mut details = Vec::new();
    for workers in WORKERS {
        let jobs = workers * 320 * SECONDS;
        let made = Run { workers, concurrency: (16, 16), batch: 1, delay_ms: 50, ..Run::fast(jobs, 1) };
        let outcome = run(&context.servers, made).await?;
        rates.push(outcome.jobs_per_second);
        details.push(outcome.detail);
    }
    let verdicts = (1..WORKERS.len()).map(|i| {
        let more = f64::from(u32::try_from(WORKERS[i] / WORKERS[i - 1]).unwrap_or(u32::MAX));
        let what = format!("{} to {} workers, 50 ms store: efficiency", WORKERS[i - 1], WORKERS[i]);
        Verdict::at_least(what, Some(rates[i] / rates[i - 1] / more), 0.9)
    });
    let verdicts = verdicts.collect();
    let bound = "16 objects under way and 50 ms each: 320 jobs a second for each worker at most";
    Ok(Figure { detail: json!({ "runs": details, "bound": bound }), verdicts })
}
