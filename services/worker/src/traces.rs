//! Spans of the jobs that were dispatched in a trace: from the claim to the outcome, with the store's part within. Jobs without one, and
//! there are many more of them, cost a look into an empty map.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use n2s_catalog::{Claim, ClaimRef};
use n2s_domain::{BackendName, JobId, Traceparent};
use n2s_storage::{Put, StorageError, Stored};
use n2s_telemetry::trace::{Kind, Span};

/// The spans of one batch of claims.
#[derive(Debug, Default)]
pub(crate) struct Traces(Mutex<HashMap<JobId, Span>>);

impl Traces {
    /// Begins the spans of those claims whose messages named a trace.
    pub(crate) fn begin(claims: &[Claim], named: &HashMap<JobId, Traceparent>, store: &BackendName) -> Self {
        let mut spans = HashMap::new();
        for claim in claims.iter().filter(|_| !named.is_empty()).map(|claim| claim.claim) {
            let parent = named.get(&claim.job).copied();
            let span = parent.and_then(|parent| Span::begin("job", Kind::Consumer, Some(parent)));
            if let Some(mut span) = span {
                span.text("backend.name", store.as_str());
                span.text("job.id", claim.job.to_string());
                spans.insert(claim.job, span);
            }
        }
        Self(Mutex::new(spans))
    }

    /// The store is given a job's object now.
    pub(crate) fn storing(&self, claim: ClaimRef, put: &Put) -> Option<Span> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut span = Span::begin("store", Kind::Client, Some(spans.get(&claim.job)?.context()))?;
        span.text("object.key", put.key.as_str());
        span.number("object.size", put.body.bytes().len() as u64);
        Some(span)
    }

    /// A job has its outcome.
    pub(crate) fn ended(&self, claim: ClaimRef, result: &'static str) {
        let span = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&claim.job);
        if let Some(mut span) = span {
            span.text("op.result", result);
            if result != "stored" {
                span.failed(result);
            }
        }
    }
}

/// The store has answered.
pub(crate) fn answered(span: Option<Span>, answer: &Result<Stored, StorageError>) {
    let Some(mut span) = span else { return };
    match answer {
        Ok(_) => span.text("op.result", "ok"),
        Err(error) => {
            span.text("op.result", error.kind.as_str());
            span.failed(error.kind.as_str());
        }
    }
}
