//! Which messages carry a trace: the first few of each look, since a trace shows how a push goes and is no list of its blobs.

use std::collections::HashMap;

use n2s_catalog::{Catalog, Ticket};
use n2s_domain::{BackendName, JobId, Traceparent};
use n2s_telemetry::trace::{Kind, Span, is_on};

use crate::report::report;

/// Jobs of one look that are followed.
const FOLLOWED_MAX: usize = 64;

/// The contexts for messages, and the spans of their dispatch, to be held until the messages are published. Asks the catalog only while
/// somebody collects spans.
pub(crate) async fn follow(
    catalog: &dyn Catalog,
    tickets: &[Ticket],
    store: &BackendName,
) -> (HashMap<JobId, Traceparent>, Vec<Span>) {
    if !is_on() {
        return (HashMap::new(), Vec::new());
    }
    let jobs: Vec<JobId> = tickets.iter().take(FOLLOWED_MAX).map(|ticket| ticket.job).collect();
    let named = catalog.traces(&jobs).await.unwrap_or_else(|error| {
        tracing::debug!(error = report(&error), "messages go without their traces");
        Vec::new()
    });
    let (mut contexts, mut spans) = (HashMap::new(), Vec::new());
    for (job, trace) in named {
        let Some(mut span) = Span::begin("dispatch", Kind::Producer, Some(trace)) else { continue };
        span.text("backend.name", store.as_str());
        span.text("job.id", job.to_string());
        contexts.insert(job, span.context());
        spans.push(span);
    }
    (contexts, spans)
}
