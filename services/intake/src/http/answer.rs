//! Answers: records as JSON or lines, refusals as problems with the id of their request. The cause of a failure goes to the log here,
//! once, and nowhere else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use n2s_client::seam::SeamError;
use n2s_client::wire::NDJSON;
use n2s_client::wire::problem::{PROBLEM_JSON, Problem, Refusal};
use serde::Serialize;
use uuid::Uuid;

use super::Api;

/// Which request it was, for caller and log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("n2s-request-id");

/// When to ask again what cannot be had now.
const LATER_SECS: u32 = 2;

/// A refusal or failure on its way out.
#[derive(Clone, Debug)]
pub(super) struct Refused(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    problem: Problem,
    retry_after_secs: Option<u32>,
    /// For the log alone.
    cause: Option<Arc<str>>,
}

pub(super) type Answer<T> = Result<T, Refused>;

impl Refused {
    pub(super) fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        let problem = Problem::new(refusal, detail);
        Self(Box::new(Inner { problem, retry_after_secs: None, cause: None }))
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Refusal::Invalid, detail)
    }

    /// Too much is under way.
    pub(super) fn busy(detail: &str) -> Self {
        Self::new(Refusal::Busy, detail).later(1)
    }

    /// Not now.
    pub(super) fn unavailable(detail: &str) -> Self {
        Self::new(Refusal::Unavailable, detail).later(LATER_SECS)
    }

    fn later(mut self, secs: u32) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }
}

impl From<SeamError> for Refused {
    fn from(error: SeamError) -> Self {
        let mut problem = Problem::from(&error);
        let (mut cause, mut retry_after_secs) = (None, None);
        if let SeamError::Other { source, .. } | SeamError::Unavailable { source, .. } = &error {
            cause = Some(Arc::from(format!("{error}: {source:#}")));
            problem.detail = format!("{error}; the server's log says why");
        }
        if matches!(error, SeamError::Unavailable { .. }) {
            retry_after_secs = Some(LATER_SECS);
        }
        Self(Box::new(Inner { problem, retry_after_secs, cause }))
    }
}

impl IntoResponse for Refused {
    /// Rendered by [`finish`], which knows the request's id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A record.
#[derive(Debug)]
pub(super) struct Record<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Record<T> {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.0).expect("records serialise into memory");
        typed("application/json", json.into())
    }
}

/// Records, one to a line.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Bytes);

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        typed(NDJSON, self.0)
    }
}

/// Done, and nothing to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

pub(super) fn typed(kind: &'static str, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// Gives every request its id, logs failures, and renders problems.
pub(super) async fn finish(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut random = [0; 16];
    api.intake.entropy.fill(&mut random);
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    let call = format!("{} {}", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        log(id, &call, &refused.0);
        response = render(id, *refused.0);
    }
    let id = HeaderValue::from_str(&id.to_string()).expect("ids are plain text");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn log(id: Uuid, call: &str, refused: &Inner) {
    let (status, detail) = (refused.problem.status, &refused.problem.detail);
    if let Some(cause) = &refused.cause {
        tracing::error!(request.id = %id, call, status, cause = &**cause, "a request failed");
    } else {
        tracing::debug!(request.id = %id, call, status, detail, "a request was refused");
    }
}

fn render(id: Uuid, refused: Inner) -> Response {
    let status = StatusCode::from_u16(refused.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = Problem { request_id: Some(id), ..refused.problem };
    let json = serde_json::to_vec(&problem).expect("problems serialise into memory");
    let mut response = (status, Body::from(json)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(secs) = refused.retry_after_secs {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // What is left of a body that was not read would be taken for the next request.
    if status == StatusCode::PAYLOAD_TOO_LARGE || status == StatusCode::REQUEST_TIMEOUT {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// No such path, or no such method there.
pub(super) async fn no_such_endpoint(request: Request) -> Refused {
    let call = format!("{} {}", request.method(), request.uri().path());
    Refused::new(Refusal::NoSuchEndpoint, format!("there is no {call}; /openapi.json lists what there is"))
}
