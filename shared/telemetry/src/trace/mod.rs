//! Traces: one from a producer's request to the answers of the stores, through every process that has a part in it.
//!
//! A span is recorded when it has ended, by whoever knows both of its ends. While nobody collects, beginning one costs a look at an
//! atomic; contexts still travel, so that processes which do collect find each other. A trace shows how a push goes, and is no list of its
//! millions of blobs: whoever makes many jobs at once gives a context to the first few.
//!
//! Rejected: the `tracing` bridge of OpenTelemetry, whose contexts hang on the thread while ours come out of rows and messages, in
//! batches of many traces; and its SDK, which wants a thread and a blocking HTTP client of its own.

#[cfg(feature = "otlp")]
mod otlp;
mod span;

use std::sync::{Arc, OnceLock};

use n2s_domain::{Clock, Entropy, Traceparent};

#[cfg(feature = "otlp")]
pub use otlp::{OtlpError, OtlpOptions, flush, start};
pub use span::{Kind, Span};

tokio::task_local! {
    static CURRENT: Traceparent;
}

/// The context of all that a process does, for processes that do one thing.
static PROCESS: OnceLock<Traceparent> = OnceLock::new();

/// Whom ended spans are told.
static TRACER: OnceLock<Tracer> = OnceLock::new();

pub(crate) struct Tracer {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Takes it, or not: never waits.
    pub record: Box<dyn Fn(span::Ended) + Send + Sync>,
}

/// Whether spans are collected in this process.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// The context of what is being done now, if it has one.
pub fn current() -> Option<Traceparent> {
    CURRENT.try_with(|current| *current).ok().or_else(|| PROCESS.get().copied())
}

/// Does `work` in a context.
pub async fn within<T>(context: Option<Traceparent>, work: impl Future<Output = T>) -> T {
    match context {
        Some(context) => CURRENT.scope(context, work).await,
        None => work.await,
    }
}

/// All that this process does belongs to this context. Once.
pub fn belongs_to(context: Traceparent) {
    // A second one would tear the first trace apart.
    let _ = PROCESS.set(context);
}
