//! Ended spans to a collector: OTLP over HTTP, in protobuf.
//!
//! The messages are written down here as far as they are used: eight of a stable format, where the crates that generate them bring a
//! second HTTP stack along. What does not fit into the queue, or is not taken, is counted and dropped: tracing holds nobody up.

use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use n2s_domain::{Clock, Entropy};
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::span::{Ended, Kind, Value};
use super::{TRACER, Tracer};
use crate::metrics::families::SPANS_DROPPED;

/// Spans that wait to be sent, and that are sent at once.
const WAITING_MAX: usize = 8_192;
const BATCH: usize = 512;
/// Between the first span of a batch and its sending.
const GATHER: Duration = Duration::from_millis(500);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// The collector, such as `http://collector:4318`. Where OTEL_EXPORTER_OTLP_ENDPOINT is set, that wins.
    pub endpoint: Option<String>,
    /// What part of n2s this is: `intake`, `worker`, ….
    pub role: String,
}

/// What keeps spans from being sent at all.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The address.
    #[error("'{0}' is not the address of an OTLP collector; it looks like http://collector:4318")]
    Endpoint(String),
    /// A variable.
    #[error("OTEL_EXPORTER_OTLP_HEADERS is not a list of name=value, separated by commas")]
    Headers,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
}

enum Told {
    Span(Box<Ended>),
    Flush(oneshot::Sender<()>),
}

/// The way to the sending task.
static SENDER: Mutex<Option<mpsc::Sender<Told>>> = Mutex::new(None);

/// Collects from now on, if the settings or the variables of OpenTelemetry say where to; says whether they do. Only the first call of a
/// process counts. Needs the runtime.
pub fn start(
    options: &OtlpOptions,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<bool, OtlpError> {
    let Some(url) = endpoint(options.endpoint.as_deref()) else { return Ok(false) };
    if TRACER.get().is_some() {
        return Ok(true);
    }
    let bad = || OtlpError::Endpoint(url.clone());
    let url: reqwest::Url = url.parse().map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad());
    }
    let client = reqwest::Client::builder().timeout(PATIENCE).default_headers(headers()?).no_proxy();
    let client = client.build().map_err(OtlpError::Tls)?;
    let (sender, told) = mpsc::channel(WAITING_MAX);
    *SENDER.lock().expect("no holder of this lock can panic") = Some(sender.clone());
    let dropped = SPANS_DROPPED.with([]);
    let record = Box::new(move |span| {
        if sender.try_send(Told::Span(Box::new(span))).is_err() {
            dropped.increment();
        }
    });
    if TRACER.set(Tracer { clock, entropy, record }).is_ok() {
        tokio::spawn(send_all(client, url, resource(&options.role), told));
    }
    Ok(true)
}

/// Sends what has ended so far; for the end of a process.
pub async fn flush() {
    let sender = SENDER.lock().expect("no holder of this lock can panic").clone();
    let Some(sender) = sender else { return };
    let (done, sent) = oneshot::channel();
    if sender.send(Told::Flush(done)).await.is_ok() {
        // A collector that is away holds up no process for long.
        let _ = tokio::time::timeout(Duration::from_secs(3), sent).await;
    }
}

/// As OpenTelemetry has it: one variable with the whole address, one with its beginning; then the settings.
fn endpoint(configured: Option<&str>) -> Option<String> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let whole = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| configured.map(str::to_owned));
    whole.or_else(|| base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/'))))
}

/// `name=value,…`: where a collector wants to know who sends.
fn headers() -> Result<reqwest::header::HeaderMap, OtlpError> {
    let mut headers = reqwest::header::HeaderMap::new();
    let given = env::var("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    for pair in given.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(OtlpError::Headers)?;
        let name: reqwest::header::HeaderName = name.trim().parse().map_err(|_| OtlpError::Headers)?;
        let mut value: reqwest::header::HeaderValue = value.trim().parse().map_err(|_| OtlpError::Headers)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn send_all(
    client: reqwest::Client,
    url: reqwest::Url,
    resource: wire::Resource,
    mut told: mpsc::Receiver<Told>,
) {
    let dropped = SPANS_DROPPED.with([]);
    let mut open = true;
    while open {
        let (mut spans, mut flushed) = (Vec::new(), Vec::new());
        let Some(first) = told.recv().await else { return };
        let until = tokio::time::Instant::now() + GATHER;
        let mut next = Some(first);
        while let Some(one) = next.take() {
            match one {
                Told::Span(span) => spans.push(wire::span(*span)),
                Told::Flush(done) => flushed.push(done),
            }
            if spans.len() < BATCH && flushed.is_empty() {
                match tokio::time::timeout_at(until, told.recv()).await {
                    Ok(Some(one)) => next = Some(one),
                    Ok(None) => open = false,
                    Err(_) => {}
                }
            }
        }
        let count = spans.len() as u64;
        if count > 0
            && let Err(why) = send(&client, &url, wire::request(resource.clone(), spans)).await
        {
            tracing::debug!(why, spans = count, "spans were not taken");
            dropped.add(count);
        }
        for done in flushed {
            // Who asked may have gone.
            let _ = done.send(());
        }
    }
}

async fn send(client: &reqwest::Client, url: &reqwest::Url, request: wire::Request) -> Result<(), String> {
    let body = request.encode_to_vec();
    let sent =
        client.post(url.clone()).header("content-type", "application/x-protobuf").body(body).send().await;
    let answer = sent.map_err(|error| error.without_url().to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
}

fn resource(role: &str) -> wire::Resource {
    let service = env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "n2s".to_owned());
    let pid = i64::from(std::process::id());
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        wire::attribute("service.name", Value::Text(service)),
        wire::attribute("service.version", Value::Text(version.to_owned())),
        wire::attribute("n2s.role", Value::Text(role.to_owned())),
        wire::attribute("process.pid", Value::Number(pid)),
    ];
    wire::Resource { attributes }
}

/// OTLP's messages, as far as they are used.
mod wire {
    use n2s_domain::Timestamp;
    use prost::{Message, Oneof};

    use super::{Ended, Kind, Value};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(int32, tag = "6")]
        pub kind: i32,
        #[prost(fixed64, tag = "7")]
        pub start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")]
        pub end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")]
        pub attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")]
        pub status: Option<Status>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Status {
        #[prost(string, tag = "2")]
        pub message: String,
        #[prost(int32, tag = "3")]
        pub code: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 3")]
        pub value: Option<Any>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Any {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(int64, tag = "3")]
        Number(i64),
    }

    pub(super) fn request(resource: Resource, spans: Vec<Span>) -> Request {
        let scope_spans = vec![ScopeSpans { spans }];
        Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
    }

    pub(super) fn attribute(name: &str, value: Value) -> KeyValue {
        let value = match value {
            Value::Text(text) => Any::Text(text),
            Value::Number(number) => Any::Number(number),
        };
        KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }

    pub(super) fn span(ended: Ended) -> Span {
        let nanos = |at: Timestamp| u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1_000);
        let parent = if ended.parent == 0 { Vec::new() } else { ended.parent.to_be_bytes().to_vec() };
        Span {
            trace: ended.context.trace().to_be_bytes().to_vec(),
            id: ended.context.span().to_be_bytes().to_vec(),
            parent,
            name: ended.name.into_owned(),
            kind: match ended.kind {
                Kind::Internal => 1,
                Kind::Server => 2,
                Kind::Client => 3,
                Kind::Producer => 4,
                Kind::Consumer => 5,
            },
            start_time_unix_nano: nanos(ended.begun),
            end_time_unix_nano: nanos(ended.over),
            attributes: ended.attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
            // 2 is an error; what went well says nothing.
            status: ended.error.map(|message| Status { message, code: 2 }),
        }
    }
}
