//! Whether it lives, whether it is ready, how much it did, what it offers: asked without a token.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use n2s_telemetry::metrics;
use serde_json::json;
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
