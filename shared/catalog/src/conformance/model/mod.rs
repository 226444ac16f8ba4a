//! All methods together: random sequences of everything that producers, workers, sweepers and operators do, with two handles,
//! held against a model in memory after every step.
//!
//! The model is written from the promises, not from the tables: trees are maps, a job is `n2s_domain::job::step`, a blob is
//! where its bytes are. What the catalog may decide for itself (which of several due jobs comes first, when a manifest's job
//! is made, how soon staging is freed) the model takes from its answers and checks that it was allowed.
//!
//! A failure prints its seed and the operations up to it, and stops at the first answer that differs, so the log's end is the
//! whole story. `N2S_MODEL_SEED` and `N2S_MODEL_STEPS` replay it, or look further. Rejected: proptest, whose shrinking needs a
//! fresh database for each try, and whose operations would have to make sense in any subset.

mod checks;
mod finale;
mod jobs;
mod operators;
mod pushing;
mod state;

use std::sync::Arc;

use n2s_domain::Timestamp;

use self::state::State;
use super::world::HOUR;
use super::{Rng, World};
use crate::Catalog;

/// Long enough that no server takes it for a test's steps, and well below the hour by which the clock is moved.
const LEASE: std::time::Duration = std::time::Duration::from_mins(20);

/// Trees, placements, jobs, staging and what settles are what the model says, step by step; and in the end, with stores that
/// take everything, every committed changeset completes and staging is empty.
pub async fn random_operations_agree_with_a_model(w: &World) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (seed, steps) = (number("N2S_MODEL_SEED", 0x6D6F_6465_6C00), number("N2S_MODEL_STEPS", 250));
    let mut run = Run::new(w, seed);
    for _ in 0..3 {
        for number in 0..steps {
            run.step().await;
            run.glance().await;
            if number % 10 == 0 {
                run.check().await;
            }
        }
        run.finale().await;
    }
}

struct Run<'w> {
    w: &'w World,
    rng: Rng,
    state: State,
    /// The model's clock is its own: it moves by the same hops.
    now: Timestamp,
    log: Log,
}

impl<'w> Run<'w> {
    fn new(w: &'w World, seed: u64) -> Self {
        let log = Log { seed, lines: Vec::new() };
        Self { w, rng: Rng(seed), state: State::new(), now: Timestamp::from_micros(0), log }
    }

    /// One handle or the other, as two processes have them.
    fn hand(&mut self) -> Arc<dyn Catalog> {
        if self.rng.below(3) == 0 { self.w.other.clone() } else { self.w.catalog.clone() }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    /// One of a few contents; new ones come in as time goes by, so that there is always something to upload.
    fn content(&mut self) -> u64 {
        self.log.lines.len() as u64 / 4 % 900 + self.rng.below(20)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    async fn step(&mut self) {
        let dataset = self.below(self.state.datasets.len());
        let store = self.below(self.w.stores.len());
        match self.rng.below(43) {
            0..=2 => self.open(dataset).await,
            3..=9 => self.enter(dataset).await,
            10 | 11 => self.commit(dataset).await,
            12 => self.abandon(dataset).await,
            13 | 14 => self.undo().await,
            15 => self.stale().await,
            16..=19 => self.dispatch(store).await,
            20..=22 => self.deliver(store).await,
            23 => self.unpublish().await,
            24..=28 => self.finish().await,
            29 => self.heartbeat().await,
            30 => self.hop().await,
            31 => self.take_over_jobs().await,
            32 | 33 => {
                self.fold().await;
            }
            34 => self.retry_failed(store).await,
            35 | 36 => self.lose().await,
            37 => self.free().await,
            38 => self.pause(store).await,
            39 | 40 => self.damage(store).await,
            41 => self.step_over(dataset).await,
            _ => self.sweep().await,
        }
    }

    /// An hour passes: leases, deadlines and backoffs are over.
    async fn hop(&mut self) {
        self.log.add("an hour passes".into());
        self.w.advance(HOUR).await;
        self.now = self.now.after(HOUR);
        for open in self.state.datasets.iter_mut().filter_map(|dataset| dataset.open.as_mut()) {
            open.lapsed = true;
        }
        if self.one_in(2) {
            self.sweep().await;
        }
    }
}

/// What was done so far; printed when the case fails.
struct Log {
    seed: u64,
    lines: Vec<String>,
}

impl Log {
    fn add(&mut self, line: String) {
        self.lines.push(line);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.lines.len().saturating_sub(80);
            for (number, line) in self.lines.iter().enumerate().skip(from) {
                eprintln!("{number:5}  {line}");
            }
            eprintln!("after {} operations; again with N2S_MODEL_SEED={}", self.lines.len(), self.seed);
        }
    }
}
