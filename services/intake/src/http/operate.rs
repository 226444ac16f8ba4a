//! Operators' questions and orders.

use axum::extract::State;
use n2s_client::seam::{
    BackendStatus, Cancelled, ChangesetFilter, ChangesetRecord, Drift, FailedFilter, FailedUpload, Listing,
    Operator as _, Overview, Paging, Retried,
};
use n2s_client::wire::calls::PauseCall;
use n2s_domain::{BackendName, ChangesetId, ChangesetStatus, DatasetName, FailureKind, ProjectName};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, Record};
use super::body::{Args, At, Json};
use super::caller::{By, Governor, Operating, Watcher};
use super::{Api, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(backends))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(changesets))
        .routes(routes!(changeset))
        .routes(routes!(failed))
        .routes(routes!(retry))
        .routes(routes!(cancel))
        .routes(routes!(audit))
}

/// Everything at a glance: stores, staging, datasets
#[utoipa::path(get, path = "/v1/status", security(("token" = ["operate"])), responses((status = 200, body = Overview)))]
async fn status(State(api): Shared, caller: By<Operating>) -> Answer<Record<Overview>> {
    caller.may_everywhere()?;
    Ok(Record(api.intake.overview().await?))
}

/// Every store, with its state and totals
#[utoipa::path(get, path = "/v1/backends", security(("token" = ["operate"])), responses((status = 200, body = Vec<BackendStatus>)))]
async fn backends(State(api): Shared, caller: By<Operating>) -> Answer<Record<Vec<BackendStatus>>> {
    caller.may_everywhere()?;
    Ok(Record(api.intake.backends().await?))
}

/// Send nothing more to a store
#[utoipa::path(post, path = "/v1/backends/{backend}/pause", params(("backend" = String, Path)), request_body = PauseCall,
    security(("token" = ["operate"])), responses((status = 204)))]
async fn pause(
    State(api): Shared,
    caller: By<Operating>,
    At(backend): At<BackendName>,
    Json(call): Json<PauseCall>,
) -> Answer<Done> {
    caller.may_everywhere()?;
    api.intake.pause(&backend, &call.reason).await?;
    Ok(Done)
}

/// Send to a store again
#[utoipa::path(post, path = "/v1/backends/{backend}/resume", params(("backend" = String, Path)),
    security(("token" = ["operate"])), responses((status = 204)))]
async fn resume(State(api): Shared, caller: By<Operating>, At(backend): At<BackendName>) -> Answer<Done> {
    caller.may_everywhere()?;
    api.intake.resume(&backend).await?;
    Ok(Done)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    project: Option<ProjectName>,
    dataset: Option<DatasetName>,
    status: Option<ChangesetStatus>,
    after: Option<String>,
    limit: Option<u32>,
}

/// Changesets, newest first
#[utoipa::path(get, path = "/v1/changesets",
    params(("project" = Option<String>, Query, description = "Needed unless the token is for every project"), ("dataset" = Option<String>, Query),
        ("status" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["operate", "push", "pull"])), responses((status = 200, body = Listing<ChangesetRecord>)))]
async fn changesets(
    State(api): Shared,
    caller: By<Watcher>,
    Args(args): Args<Listed>,
) -> Answer<Record<Listing<ChangesetRecord>>> {
    caller.may_in(args.project.as_ref())?;
    let filter = ChangesetFilter { project: args.project, dataset: args.dataset, status: args.status };
    let paging = Paging { after: args.after, limit: args.limit.unwrap_or(20) };
    Ok(Record(api.intake.changesets(&filter, &paging).await?))
}

/// One changeset, with how far it is on each store
#[utoipa::path(get, path = "/v1/changesets/{changeset}", params(("changeset" = Uuid, Path)),
    security(("token" = ["operate", "push", "pull"])), responses((status = 200, body = ChangesetRecord)))]
async fn changeset(
    State(api): Shared,
    caller: By<Watcher>,
    At(id): At<ChangesetId>,
) -> Answer<Record<ChangesetRecord>> {
    caller.may_with(&api, id).await?;
    Ok(Record(api.intake.changeset(id).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failures {
    project: Option<ProjectName>,
    dataset: Option<DatasetName>,
    backend: Option<BackendName>,
    changeset: Option<ChangesetId>,
    kind: Option<FailureKind>,
    after: Option<String>,
    limit: Option<u32>,
}

/// What could not be stored, and why
#[utoipa::path(get, path = "/v1/failed",
    params(("project" = Option<String>, Query, description = "Needed unless the token is for every project"), ("dataset" = Option<String>, Query),
        ("backend" = Option<String>, Query), ("changeset" = Option<Uuid>, Query), ("kind" = Option<String>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["operate"])), responses((status = 200, body = Listing<FailedUpload>)))]
async fn failed(
    State(api): Shared,
    caller: By<Operating>,
    Args(args): Args<Failures>,
) -> Answer<Record<Listing<FailedUpload>>> {
    caller.may_in(args.project.as_ref())?;
    let paging = Paging { after: args.after, limit: args.limit.unwrap_or(1_000) };
    let filter = FailedFilter {
        project: args.project,
        dataset: args.dataset,
        backend: args.backend,
        changeset: args.changeset,
        kind: args.kind,
    };
    Ok(Record(api.intake.failed(&filter, &paging).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtMost {
    limit: Option<u32>,
}

/// Try failures again with a fresh budget, so many at most; call again until the answer is zeros
#[utoipa::path(post, path = "/v1/retry", params(("limit" = Option<u32>, Query)), request_body = FailedFilter,
    security(("token" = ["operate"])), responses((status = 200, body = Retried)))]
async fn retry(
    State(api): Shared,
    caller: By<Operating>,
    Args(args): Args<AtMost>,
    Json(filter): Json<FailedFilter>,
) -> Answer<Record<Retried>> {
    caller.may_in(filter.project.as_ref())?;
    Ok(Record(api.intake.retry(&filter, args.limit.unwrap_or(1_000)).await?))
}

/// Give up what a changeset still waits for and nobody else does; it can be retried
#[utoipa::path(post, path = "/v1/changesets/{changeset}/cancel", params(("changeset" = Uuid, Path)),
    security(("token" = ["operate"])), responses((status = 200, body = Cancelled)))]
async fn cancel(
    State(api): Shared,
    caller: By<Operating>,
    At(id): At<ChangesetId>,
) -> Answer<Record<Cancelled>> {
    caller.may_with(&api, id).await?;
    Ok(Record(api.intake.cancel(id).await?))
}

/// Recount every counter; what has drifted, normally nothing
#[utoipa::path(get, path = "/v1/audit", security(("token" = ["admin"])), responses((status = 200, body = Vec<Drift>)))]
async fn audit(State(api): Shared, caller: By<Governor>) -> Answer<Record<Vec<Drift>>> {
    caller.may_everywhere()?;
    Ok(Record(api.intake.audit().await?))
}
