//! The small listener of roles without an API: `/healthz`, `/readyz` and `/metrics`, for whoever watches over the process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use n2s_telemetry::metrics;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::AssemblyError;
use crate::vitals::Vitals;

/// A running listener.
#[derive(Debug)]
pub(crate) struct Health {
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Health {
    /// Listens and answers.
    pub(crate) async fn start(listen: &str, vitals: Arc<Vitals>) -> Result<Self, AssemblyError> {
        let failed = |source| AssemblyError::ListenHealth { address: listen.to_owned(), source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/healthz", get(async || Json(json!({ "alive": true }))))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(vitals);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            // It answers until the very end of the role, and nobody waits for those who still ask then.
            tokio::select! {
                () = stopped.cancelled() => {}
                ended = axum::serve(listener, router) => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "health is not answered any more");
                    }
                }
            }
        });
        Ok(Self { stop, task, address })
    }

    /// Answers no more.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A panic has been logged by the runtime.
        let _ = self.task.await;
    }
}

async fn metrics() -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render()).into_response()
}

async fn ready(State(vitals): State<Arc<Vitals>>) -> Response {
    let troubles = vitals.troubles().await;
    if troubles.is_empty() {
        return Json(json!({ "ready": true })).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "troubles": troubles }))).into_response()
}
