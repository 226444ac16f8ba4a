//! The adaptive limit against a grid of fixed ones, in virtual time: a worker with endless work, stores by the book, and noise.
//!
//! The horizon is a minute for each store, warm-up included, and two minutes for each state of one that changes. What
//! is promised of the adaptive limit is nine tenths of the best fixed one.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking; virtual milliseconds and counts fit both ways"
)]

mod stores;
mod world;

use n2s_domain::concurrency::Adaptive;
use stores::{Model, Shape};
use world::{Policy, Ran, run};

const SEEDS: [u64; 4] = [1, 7, 42, 1_001];
const GRID: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// The adaptive limit has nine tenths of the best fixed one's work, with every seed.
fn holds(model: &Model) {
    beside(model, (1, 128), &GRID, 1);
}

/// So it has after 20 seconds already, warm-up included.
fn holds_soon(shape: Shape) {
    holds(&Model { states: vec![(20_000.0, shape)] });
}

fn adaptive(min: u32, max: u32) -> Policy {
    Policy::Adaptive(Box::new(Adaptive::new(min, max)))
}

fn beside(model: &Model, (min, max): (u32, u32), grid: &[u32], batch: u32) {
    let fixed = |limit: &u32| (run(model, Policy::Fixed(*limit), batch, SEEDS[0]).stored, *limit);
    let (most, best) = grid.iter().map(fixed).max().unwrap();
    for seed in SEEDS {
        let Ran { stored, refused, limit, why } = run(model, adaptive(min, max), batch, seed);
        let share = stored as f64 / most as f64;
        assert!(
            share >= 0.9,
            "{share:.3} of what {best} at once stored on {model:?} with seed {seed}; {refused} were refused, and it ended \
             at {limit}: {why}"
        );
    }
}

#[test]
fn a_fast_store() {
    holds(&Model::minute(Shape::Fast { servers: 4, ms: 2.0, crowding: 0.0 }));
}

#[test]
fn a_fast_store_that_suffers_from_crowds() {
    holds(&Model::minute(Shape::Fast { servers: 4, ms: 2.0, crowding: 0.02 }));
}

#[test]
fn a_store_that_answers_after_50_ms() {
    holds(&Model::minute(Shape::Slow { ms: 50.0, per_sec: f64::INFINITY }));
}

#[test]
fn a_store_that_answers_after_50_ms_over_a_narrow_link() {
    holds(&Model::minute(Shape::Slow { ms: 50.0, per_sec: 700.0 }));
}

#[test]
fn a_store_that_throttles_above_a_rate() {
    holds(&Model::minute(Shape::Rate { ms: 50.0, per_sec: 400.0, retry_after: None }));
    holds(&Model::minute(Shape::Rate { ms: 50.0, per_sec: 400.0, retry_after: Some(1.0) }));
    holds(&Model::minute(Shape::Rate { ms: 50.0, per_sec: 90.0, retry_after: None }));
}

#[test]
fn a_store_that_throttles_above_a_number_at_once() {
    for most in [3, 12, 20, 50] {
        holds(&Model::minute(Shape::Crowd { ms: 50.0, most, retry_after: None }));
    }
    holds(&Model::minute(Shape::Crowd { ms: 50.0, most: 20, retry_after: Some(1.0) }));
}

#[test]
fn a_store_that_changes() {
    let fast = Shape::Fast { servers: 4, ms: 2.0, crowding: 0.0 };
    let slow = Shape::Slow { ms: 50.0, per_sec: 2_000.0 };
    let throttling = Shape::Crowd { ms: 50.0, most: 20, retry_after: None };
    let rationed = Shape::Rate { ms: 50.0, per_sec: 500.0, retry_after: None };
    holds(&Model::changing(&[fast, slow, throttling, slow, rationed, fast]));
    holds(&Model::changing(&[throttling, slow, rationed, throttling, slow]));
}

#[test]
fn the_warm_up_is_short() {
    holds_soon(Shape::Fast { servers: 4, ms: 2.0, crowding: 0.02 });
    holds_soon(Shape::Slow { ms: 50.0, per_sec: f64::INFINITY });
    holds_soon(Shape::Slow { ms: 50.0, per_sec: 700.0 });
    holds_soon(Shape::Slow { ms: 300.0, per_sec: 200.0 });
    for most in [3, 12, 24, 50] {
        holds_soon(Shape::Crowd { ms: 50.0, most, retry_after: None });
    }
}

/// Directories get objects by the batch, and one wait for the disk serves the batch.
#[test]
fn a_directory() {
    let disk = Model::minute(Shape::Disk { ms: 30.0, per_sec: 20_000.0 });
    beside(&disk, (256, 2_048), &[256, 512, 1_024, 2_048], 256);
}

/// It does not find its limit by being refused all the time.
#[test]
fn few_are_refused() {
    let model = Model::minute(Shape::Crowd { ms: 50.0, most: 20, retry_after: None });
    let storm = run(&model, Policy::Fixed(64), 1, 1).refused;
    let refused = run(&model, adaptive(1, 128), 1, 1).refused;
    assert!(refused * 100 < storm, "{refused} refusals, and {storm} with a fixed limit of 64");
}

/// A little more than a store allows in a second is refused a little, whatever its bucket of tokens let pass before.
#[test]
fn a_store_with_a_bucket_of_tokens_refuses_few() {
    let model = Model::minute(Shape::Rate { ms: 50.0, per_sec: 400.0, retry_after: None });
    for seed in SEEDS {
        let Ran { stored, refused, .. } = run(&model, adaptive(1, 128), 1, seed);
        assert!(refused * 25 < stored, "{refused} refused of {stored} with seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let model = Model::minute(Shape::Rate { ms: 50.0, per_sec: 400.0, retry_after: None });
    let ran = || run(&model, adaptive(1, 128), 1, 5);
    assert_eq!((ran().stored, ran().refused, ran().limit), (ran().stored, ran().refused, ran().limit));
}
