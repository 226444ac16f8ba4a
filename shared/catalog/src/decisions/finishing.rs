//! Sorting a batch of outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use n2s_domain::FailureKind;

use crate::rows::int;
use crate::rows::jobs::HeldJob;
use crate::{Finish, Outcome};

/// A held job that is to be tried again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'o> {
    /// The job.
    pub job: HeldJob,
    /// After this long.
    pub after: Duration,
    /// Whether it costs one of the object's attempts.
    pub charged: bool,
    /// Why.
    pub error: Option<&'o (FailureKind, String)>,
}

/// The outcomes that count, by kind.
#[derive(Clone, Debug, Default)]
pub struct Sorted<'o> {
    /// In the order given: whether the claim still held.
    pub accepted: Vec<bool>,
    /// Acknowledged, and where, if it cannot be derived.
    pub stored: Vec<(HeldJob, Option<&'o str>)>,
    /// Given up.
    pub failed: Vec<(HeldJob, FailureKind, &'o str)>,
    /// Pending again.
    pub retried: Vec<Again<'o>>,
}

impl<'o> Sorted<'o> {
    /// Of outcomes, and the jobs whose claims still hold, by job and epoch.
    pub fn new(outcomes: &'o [Finish], mut held: BTreeMap<(i64, i64), HeldJob>) -> Self {
        let mut sorted = Self { accepted: Vec::with_capacity(outcomes.len()), ..Self::default() };
        for finish in outcomes {
            // Taken out: a batch may hold an outcome twice, or a fenced one beside the one that counts.
            let job = held.remove(&(finish.claim.job.0, int(finish.claim.epoch)));
            sorted.accepted.push(job.is_some());
            let Some(job) = job else { continue };
            match &finish.outcome {
                Outcome::Stored { location } => sorted.stored.push((job, location.as_deref())),
                Outcome::Failed { kind, message } => sorted.failed.push((job, *kind, message)),
                Outcome::Retry { after, charged, error } => {
                    let (after, charged, error) = (*after, *charged, error.as_ref());
                    sorted.retried.push(Again { job, after, charged, error });
                }
            }
        }
        sorted
    }

    /// The jobs that have ended.
    pub fn ended(&self) -> impl Iterator<Item = HeldJob> {
        self.stored.iter().map(|(job, _)| *job).chain(self.failed.iter().map(|(job, ..)| *job))
    }
}
