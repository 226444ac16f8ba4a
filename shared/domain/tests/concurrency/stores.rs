//! Stores by the book: how long an operation takes, and whether it is refused.

use n2s_domain::{Entropy, SeededEntropy};

/// A kind of store. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// So many operations are served at once, the others wait; each one under way slows all down by `crowding`.
    Fast { servers: usize, ms: f64, crowding: f64 },
    /// Every operation takes as long, and the link carries so many in a second.
    Slow { ms: f64, per_sec: f64 },
    /// So many in a second, in bursts of a tenth of it; the rest is refused.
    Rate { ms: f64, per_sec: f64, retry_after: Option<f64> },
    /// So many at once; the rest is refused.
    Crowd { ms: f64, most: u32, retry_after: Option<f64> },
    /// A batch takes a wait for the disk and a time for each of its objects.
    Disk { ms: f64, per_sec: f64 },
}

/// What a store is at which time.
#[derive(Clone, Debug)]
pub struct Model {
    /// Until when (in milliseconds) it is what.
    pub states: Vec<(f64, Shape)>,
}

impl Model {
    pub fn minute(shape: Shape) -> Self {
        Self { states: vec![(60_000.0, shape)] }
    }

    pub fn changing(shapes: &[Shape]) -> Self {
        let until = |n: usize| 120_000.0 * (n + 1) as f64;
        Self { states: shapes.iter().enumerate().map(|(n, shape)| (until(n), *shape)).collect() }
    }

    pub fn end(&self) -> f64 {
        self.states.last().unwrap().0
    }
}

/// How an operation ends.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Stored,
    Refused(Option<f64>),
}

/// A store at work.
pub struct Store<'a> {
    model: &'a Model,
    entropy: SeededEntropy,
    /// When each server is free, when the link is, and how many operations are in the bucket.
    servers: Vec<f64>,
    link: f64,
    tokens: (f64, f64),
    pub serving: u32,
}

/// What a refusal takes.
const REFUSAL_MS: f64 = 20.0;

impl<'a> Store<'a> {
    pub fn new(model: &'a Model, seed: u64) -> Self {
        Self {
            model,
            entropy: SeededEntropy::new(seed),
            servers: vec![0.0; 64],
            link: 0.0,
            tokens: (0.0, 0.0),
            serving: 0,
        }
    }

    /// Between -1 and 1.
    fn noise(&self) -> f64 {
        (self.entropy.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A batch of operations begins; when it ends, and how.
    pub fn begin(&mut self, now: f64, objects: u32) -> (f64, Answer) {
        let shape = self
            .model
            .states
            .iter()
            .find(|(until, _)| now < *until)
            .map_or(self.model.states[0].1, |(_, s)| *s);
        let spread = 1.0 + 0.3 * self.noise();
        match shape {
            Shape::Fast { servers, ms, crowding } => {
                let free = self.servers[..servers].iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
                *free = free.max(now) + ms * spread * (1.0 + crowding * f64::from(self.serving));
                (*free, Answer::Stored)
            }
            Shape::Slow { ms, per_sec } => {
                self.link = self.link.max(now) + 1_000.0 / per_sec;
                (self.link.max(now + ms * spread), Answer::Stored)
            }
            Shape::Rate { ms, per_sec, retry_after } => {
                let (tokens, at) = self.tokens;
                let tokens = (tokens + (now - at) * per_sec / 1_000.0).min(per_sec / 10.0);
                if tokens < 1.0 {
                    self.tokens = (tokens, now);
                    return (now + REFUSAL_MS * spread, Answer::Refused(retry_after));
                }
                self.tokens = (tokens - 1.0, now);
                (now + ms * spread, Answer::Stored)
            }
            Shape::Crowd { most, retry_after, .. } if self.serving >= most => {
                (now + REFUSAL_MS * spread, Answer::Refused(retry_after))
            }
            Shape::Crowd { ms, .. } => (now + ms * spread, Answer::Stored),
            Shape::Disk { ms, per_sec } => {
                self.link = self.link.max(now) + f64::from(objects) * 1_000.0 / per_sec;
                (self.link + ms * spread, Answer::Stored)
            }
        }
    }
}
