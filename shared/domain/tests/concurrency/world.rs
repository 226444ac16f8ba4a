//! A worker with endless work at a store, event by event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use n2s_domain::concurrency::{Adaptive, Push};

use crate::stores::{Answer, Model, Store};

/// How the worker knows how many may be under way.
pub enum Policy {
    Fixed(u32),
    Adaptive(Box<Adaptive>),
}

/// What came of it.
pub struct Ran {
    pub stored: u64,
    pub refused: u64,
    pub limit: u32,
    pub why: String,
}

/// A batch that will end: at which microsecond, its number, its size, and how.
type Ending = (u64, u64, u32, bool, u64);

pub fn run(model: &Model, mut policy: Policy, batch: u32, seed: u64) -> Ran {
    let (mut store, mut heap) = (Store::new(model, seed), BinaryHeap::<Reverse<Ending>>::new());
    let (mut now, mut in_flight, mut number) = (0.0, 0, 0);
    let mut ran = Ran { stored: 0, refused: 0, limit: 0, why: String::new() };
    while now < model.end() {
        let limit = limit_of(&policy);
        let mut room = limit.saturating_sub(in_flight);
        while room >= batch {
            let (ends, answer) = store.begin(now, batch);
            let (stored, wait) = match answer {
                Answer::Stored => (true, 0),
                Answer::Refused(wait) => (false, wait.map_or(0, |secs| (secs * 1_000.0) as u64)),
            };
            store.serving += batch * u32::from(stored);
            heap.push(Reverse(((ends * 1_000.0) as u64, number, batch, stored, wait)));
            (number, in_flight, room) = (number + 1, in_flight + batch, room - batch);
            if let Policy::Adaptive(adaptive) = &mut policy {
                adaptive.began(batch, room < batch, moment(now));
            }
        }
        let Some(Reverse((at, _, objects, stored, wait))) = heap.pop() else { break };
        now = at as f64 / 1_000.0;
        in_flight -= objects;
        if stored {
            store.serving -= objects;
            ran.stored += u64::from(objects);
        } else {
            ran.refused += u64::from(objects);
        }
        if let Policy::Adaptive(adaptive) = &mut policy {
            for _ in 0..objects {
                if stored {
                    adaptive.stored(1);
                } else {
                    let retry_after = (wait > 0).then(|| Duration::from_millis(wait));
                    adaptive.pushed_back(Push::Throttled { retry_after }, moment(now));
                }
            }
            adaptive.ended(objects, moment(now));
        }
    }
    if let Policy::Adaptive(adaptive) = &policy {
        (ran.limit, ran.why) = (adaptive.limit(), adaptive.why(moment(now)).to_string());
    }
    ran
}

fn limit_of(policy: &Policy) -> u32 {
    match policy {
        Policy::Fixed(limit) => *limit,
        Policy::Adaptive(adaptive) => adaptive.limit(),
    }
}

fn moment(ms: f64) -> Duration {
    Duration::from_micros((ms * 1_000.0) as u64)
}
