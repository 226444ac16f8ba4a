//! Whether it lives, whether it is ready, how much it did, what it offers: asked without a token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use n2s_client::wire::problem::{PROBLEM_JSON, Problem, Refusal};
use n2s_telemetry::metrics;
use serde_json::json;
use tokio::sync::watch;
use utoipa::openapi::OpenApi;

use super::answer::{Answer, Record, Refused, typed};
use super::{Api, Shared};

pub(super) fn routes(document: &OpenApi) -> Router<Arc<Api>> {
    let document = Bytes::from(serde_json::to_vec(document).expect("the document serialises into memory"));
    let document = move || std::future::ready(typed("application/json", document.clone()));
    Router::new()
        .route("/healthz", get(async || Record(json!({ "alive": true }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(document))
}

/// What is answered before there is a catalog to ask: that it lives, and what it waits for.
pub(super) fn turning_away(why: watch::Receiver<String>) -> Router {
    let wait = async move || {
        let problem = Problem::new(Refusal::Unavailable, why.borrow().clone());
        let headers = [(header::CONTENT_TYPE, PROBLEM_JSON), (header::RETRY_AFTER, "2")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, Json(problem))
    };
    Router::new().route("/healthz", get(async || Json(json!({ "alive": true })))).fallback(wait)
}

/// Counts and names of stores; nothing of what anybody pushed.
async fn metrics() -> Response {
    typed(metrics::CONTENT_TYPE, Bytes::from(metrics::render()))
}

/// Ready is: the catalog answers and has a schema that this program knows, staging can be written, and nobody has asked it to stop.
async fn ready(State(api): Shared) -> Answer<Record<serde_json::Value>> {
    if api.is_draining() {
        return Err(Refused::unavailable("the server is going down"));
    }
    if let Err(error) = api.intake.ready().await {
        tracing::warn!(error = format!("{error:#}"), "not ready");
        return Err(Refused::unavailable("the catalog or staging cannot be used; the server's log says why"));
    }
    Ok(Record(json!({ "ready": true })))
}
