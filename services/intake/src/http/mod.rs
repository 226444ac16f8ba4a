//! The HTTP API: the client's three seams over `/v1`, for whoever holds a token.
//!
//! Every request gets an id, is authenticated before its body is read, and is bounded in bytes and time. Handlers are thin: they check
//! what the caller may do, take the arguments apart, call the same methods that an embedded client calls, and put the answer together.
//! Names are query parameters, not path segments: a dataset may be called `tank/home`, and proxies disagree about `%2F`.

mod answer;
mod archive;
mod blobs;
mod body;
mod caller;
mod doc;
mod events;
mod fetch;
mod health;
mod library;
mod manifests;
mod measured;
mod operate;
mod plain;
mod proving;
mod pushes;
mod pushing;
mod serve;
mod taken;
mod tls;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use n2s_domain::{ChangesetId, ProjectName};
use tokio::sync::Semaphore;

pub use doc::openapi;
pub use serve::{Door, Serve, serve};
pub use tls::{TlsError, tls};

use crate::Intake;

/// Projects of changesets remembered at once; the map is emptied when it is full.
const REMEMBERED_MAX: usize = 10_000;

/// What every request shares.
#[derive(Debug)]
pub(crate) struct Api {
    intake: Intake,
    /// KiB of bodies. A request takes its share before its body is read and gives it back after its answer was made.
    in_flight: Arc<Semaphore>,
    in_flight_kib: u32,
    /// A changeset's project never changes, so remembering it is safe.
    projects: Mutex<HashMap<ChangesetId, ProjectName>>,
    /// Validations on request.
    validations: Arc<Semaphore>,
    draining: AtomicBool,
}

impl Api {
    fn new(intake: Intake, in_flight_mib: u32) -> Arc<Self> {
        let in_flight_kib = in_flight_mib.max(64) * 1024;
        Arc::new(Self {
            intake,
            in_flight: Arc::new(Semaphore::new(in_flight_kib as usize)),
            in_flight_kib,
            projects: Mutex::default(),
            validations: proving::validations(),
            draining: AtomicBool::new(false),
        })
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn remembered(&self, changeset: ChangesetId) -> Option<ProjectName> {
        self.projects.lock().expect("no holder of this lock can panic").get(&changeset).cloned()
    }

    fn remember(&self, changeset: ChangesetId, project: ProjectName) {
        let mut projects = self.projects.lock().expect("no holder of this lock can panic");
        if projects.len() >= REMEMBERED_MAX {
            projects.clear();
        }
        projects.insert(changeset, project);
    }
}

type Shared = axum::extract::State<Arc<Api>>;

/// Every route, and the document that describes them.
fn routes() -> (Router<Arc<Api>>, utoipa::openapi::OpenApi) {
    utoipa_axum::router::OpenApiRouter::with_openapi(doc::about())
        .merge(pushes::routes())
        .merge(blobs::routes())
        .merge(plain::routes())
        .merge(manifests::routes())
        .merge(library::routes())
        .merge(fetch::routes())
        .merge(archive::routes())
        .merge(operate::routes())
        .merge(proving::routes())
        .merge(events::routes())
        .merge(tokens::routes())
        .split_for_parts()
}

/// The whole API.
fn router(api: &Arc<Api>) -> Router {
    let (v1, document) = routes();
    let v1 = v1.route_layer(axum::middleware::from_fn_with_state(Arc::clone(api), caller::authenticate));
    v1.merge(health::routes(&document))
        .fallback(answer::no_such_endpoint)
        .method_not_allowed_fallback(answer::no_such_endpoint)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(api), answer::finish))
        .layer(axum::middleware::from_fn(measured::count))
        .with_state(Arc::clone(api))
}
