//! What a run was like, a line for each moment: without it, nobody can say why a limit brought what it did.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use n2s_storage::Storage as _;
use n2s_telemetry::metrics;
use serde_json::{Value, json};

use crate::store::Model;

/// Between two lines.
const MOMENT: Duration = Duration::from_millis(250);

/// See the module.
pub struct Trace {
    samples: Vec<Sample>,
}

struct Sample {
    at: Instant,
    stored: u64,
    refused: u64,
    serving_us: u64,
    limit: Option<f64>,
}

impl Trace {
    /// Looks on for `secs`, or until the store has `most`: what comes after that is no endless work.
    pub async fn of(model: &Arc<Model>, secs: Duration, most: u64) -> Self {
        let mut trace = Self { samples: vec![Sample::of(model)] };
        let began = Instant::now();
        while began.elapsed() < secs {
            tokio::time::sleep(MOMENT.min(secs.saturating_sub(began.elapsed()))).await;
            let sample = Sample::of(model);
            if sample.stored >= most {
                break;
            }
            trace.samples.push(sample);
        }
        trace
    }

    /// Objects stored in a second, since a share of the time was over.
    pub fn per_sec(&self, after: f64) -> f64 {
        self.mean(after, |sample| sample.stored)
    }

    /// How many were served at once on average.
    pub fn served_at_once(&self) -> f64 {
        tenths(self.mean(0.0, |sample| sample.serving_us) / 1e6)
    }

    /// Refusals in a second.
    pub fn refused_per_sec(&self) -> f64 {
        tenths(self.mean(0.0, |sample| sample.refused))
    }

    /// How long it took.
    pub fn secs(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => (last.at - first.at).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn mean(&self, after: f64, count: impl Fn(&Sample) -> u64) -> f64 {
        let Some(last) = self.samples.last() else { return 0.0 };
        let from = self.secs() * after;
        let began = self.samples[0].at;
        let first = self.samples.iter().find(|sample| (sample.at - began).as_secs_f64() >= from);
        first.map_or(0.0, |first| growth(first, last, count))
    }

    /// A line for each moment.
    pub fn lines(&self) -> Vec<Value> {
        let began = self.samples[0].at;
        let line = |pair: &[Sample]| {
            let (before, now) = (&pair[0], &pair[1]);
            json!({
                "at_secs": tenths((now.at - began).as_secs_f64()),
                "limit": now.limit,
                "served_at_once": tenths(growth(before, now, |sample| sample.serving_us) / 1e6),
                "stored_per_sec": growth(before, now, |sample| sample.stored).round(),
                "refused_per_sec": growth(before, now, |sample| sample.refused).round(),
            })
        };
        self.samples.windows(2).map(line).collect()
    }
}

impl Sample {
    fn of(model: &Model) -> Self {
        Self {
            at: Instant::now(),
            stored: model.stored.load(Relaxed),
            refused: model.refused.load(Relaxed),
            serving_us: model.serving_us.load(Relaxed),
            limit: limit(model.name()),
        }
    }
}

/// By how much a count grew in a second.
fn growth(from: &Sample, to: &Sample, count: impl Fn(&Sample) -> u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    let grown = (count(to) - count(from)) as f64;
    grown / (to.at - from.at).as_secs_f64().max(f64::MIN_POSITIVE)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What the worker allows the store now, as it tells everybody.
fn limit(store: &str) -> Option<f64> {
    let metrics = metrics::render();
    let line = format!("n2s_worker_concurrency_limit{{backend=\"{store}\"}} ");
    metrics.lines().find_map(|known| known.strip_prefix(&line)?.parse().ok())
}
