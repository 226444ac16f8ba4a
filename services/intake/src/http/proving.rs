//! Proving on request, what is damaged, and bringing datasets to stores.
//!
//! A validation runs as long as its answer is read: a client that goes away ends it, and so does a server that is to stop. Few run at
//! once, because each reads from every store.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use n2s_client::seam::{
    Damage, DamageFilter, Operator as _, ProofProgress, ProofWatch, SeamError, SyncCall, SyncStep,
    ValidateReport, ValidateRequest,
};
use n2s_client::wire::NDJSON;
use n2s_client::wire::calls::ValidateEvent;
use n2s_client::wire::problem::Problem;
use n2s_domain::{BackendName, DatasetName, ProjectName};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Record, Refused};
use super::body::{Args, At, Json};
use super::caller::{By, Operating};
use super::{Api, Shared};

/// Between two lines.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Validations at once.
pub(super) const VALIDATIONS: usize = 4;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(validate)).routes(routes!(damages)).routes(routes!(sync))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Damages {
    project: Option<ProjectName>,
    dataset: Option<DatasetName>,
    backend: Option<BackendName>,
    #[serde(default)]
    needed_by: bool,
    limit: Option<u32>,
}

/// Copies found damaged and not replaced yet, oldest first
#[utoipa::path(get, path = "/v1/damages",
    params(("project" = Option<String>, Query, description = "Needed unless the token is for every project"), ("dataset" = Option<String>, Query),
        ("backend" = Option<String>, Query), ("needed_by" = Option<bool>, Query, description = "Tell some of the places that need each"),
        ("limit" = Option<u32>, Query)),
    security(("token" = ["operate"])), responses((status = 200, body = Vec<Damage>)))]
async fn damages(
    State(api): Shared,
    caller: By<Operating>,
    Args(args): Args<Damages>,
) -> Answer<Record<Vec<Damage>>> {
    caller.may_in(args.project.as_ref())?;
    let Damages { project, dataset, backend, needed_by, limit } = args;
    let filter = DamageFilter { project, dataset, backend, needed_by };
    Ok(Record(api.intake.damages(&filter, limit.unwrap_or(1_000)).await?))
}

/// Bring a dataset's latest version to a store it was not on, step by step: call again with the answer's `next` until there is none
#[utoipa::path(post, path = "/v1/backends/{backend}/sync", params(("backend" = String, Path)), request_body = SyncCall,
    security(("token" = ["operate"])), responses((status = 200, body = SyncStep)))]
async fn sync(
    State(api): Shared,
    caller: By<Operating>,
    At(backend): At<BackendName>,
    Json(call): Json<SyncCall>,
) -> Answer<Record<SyncStep>> {
    caller.may(&call.project)?;
    if let Some(next) = call.next {
        caller.may_with(&api, next.changeset).await?;
    }
    Ok(Record(api.intake.sync(&backend, &call).await?))
}

/// Prove copies of a dataset and have what is damaged replaced: a line of progress every second, then a report, or a problem. Letting go
/// of the answer ends the run
#[utoipa::path(post, path = "/v1/validate", request_body = ValidateRequest, security(("token" = ["operate"])),
    responses((status = 200, body = ValidateEvent, content_type = "application/x-ndjson")))]
async fn validate(
    State(api): Shared,
    caller: By<Operating>,
    Json(request): Json<ValidateRequest>,
) -> Answer<Response> {
    caller.may(&request.project)?;
    let mut run = Run::begin(&api, request)?;
    // What is refused at once is refused as everywhere else.
    let first = run.next().await.ok_or_else(|| Refused::unavailable("the server is about to stop"))??;
    let lines = stream::unfold((Some(first), run), |(first, mut run)| async {
        let event = match first {
            Some(event) => event,
            None => match run.next().await? {
                Ok(event) => event,
                Err(error) => ValidateEvent::Problem(Problem::from(&error)),
            },
        };
        let mut line = serde_json::to_vec(&event).expect("records serialise into memory");
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), (None, run)))
    });
    Ok(([(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

/// Bounds what runs at once.
pub(super) fn validations() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(VALIDATIONS))
}

/// A validation on its way.
struct Run {
    api: Arc<Api>,
    /// `None` once its end was told.
    task: Option<JoinHandle<Result<ValidateReport, SeamError>>>,
    seen: Arc<Seen>,
    stop: CancellationToken,
    /// Ends the run with the answer.
    _end: DropGuard,
    /// Given back with the answer.
    _permit: OwnedSemaphorePermit,
}

impl Run {
    fn begin(api: &Arc<Api>, request: ValidateRequest) -> Answer<Self> {
        let permit = Arc::clone(&api.validations).try_acquire_owned();
        let permit =
            permit.map_err(|_| Refused::busy("enough validations are under way; come back later"))?;
        let (stop, seen) = (CancellationToken::new(), Arc::new(Seen::default()));
        let task = tokio::spawn({
            let (intake, stop, seen) = (api.intake.clone(), stop.clone(), Arc::clone(&seen));
            async move { intake.validate(&request, &*seen, &stop).await }
        });
        let end = stop.clone().drop_guard();
        Ok(Self { api: Arc::clone(api), task: Some(task), seen, stop, _end: end, _permit: permit })
    }

    async fn next(&mut self) -> Option<Result<ValidateEvent, SeamError>> {
        let task = self.task.as_mut()?;
        match tokio::time::timeout(TELL_EVERY, task).await {
            Err(_) => {
                if self.api.is_draining() {
                    self.stop.cancel();
                }
                Some(Ok(ValidateEvent::Progress(self.seen.now())))
            }
            Ok(ended) => {
                self.task = None;
                Some(ended.expect("validating does not panic").map(ValidateEvent::Report))
            }
        }
    }
}

/// How far it is, added up.
#[derive(Debug, Default)]
struct Seen(Mutex<ProofProgress>);

impl Seen {
    fn now(&self) -> ProofProgress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProofWatch for Seen {
    fn total(&self, copies: u64, bytes: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.copies_total += copies;
        seen.bytes_total += bytes;
    }

    fn checked(&self, copies: u64, bytes: u64, damaged: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.copies += copies;
        seen.bytes += bytes;
        seen.damaged += damaged;
    }
}
