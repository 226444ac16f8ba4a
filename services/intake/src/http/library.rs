//! Looking: versions, trees, listings, search.

use axum::extract::State;
use n2s_client::seam::{
    ListedFile, Listing, Operator as _, Page, Paging, Reader as _, SeamError, SearchFilter, SearchHit,
    Selector, VersionRef,
};
use n2s_client::wire::lines;
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{ChangesetId, DatasetName, PathSpan, ProjectName, RelPath, Version};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Lines, Record, Refused};
use super::body::{Args, At};
use super::caller::{By, Puller, Reading, Role};
use super::{Api, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(version))
        .routes(routes!(tree))
        .routes(routes!(entries))
        .routes(routes!(directories))
        .routes(routes!(files))
        .routes(routes!(search))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    project: ProjectName,
    dataset: DatasetName,
    version: Option<u64>,
    snapshot: Option<String>,
    changeset: Option<ChangesetId>,
    open: Option<ChangesetId>,
}

impl Which {
    fn selector(&self) -> Answer<Selector> {
        match (self.version, &self.snapshot, self.changeset, self.open) {
            (None, None, None, None) => Ok(Selector::Latest),
            (Some(version), None, None, None) => Ok(Selector::Version(Version(version))),
            (None, Some(label), None, None) => Ok(Selector::Snapshot(label.clone())),
            (None, None, Some(id), None) => Ok(Selector::Changeset(id)),
            (None, None, None, Some(id)) => Ok(Selector::Open(id)),
            _ => Err(Refused::invalid(
                "give one of version, snapshot, changeset and open, or none for the latest",
            )),
        }
    }
}

/// Find a version: the latest, or by number, label or changeset
#[utoipa::path(get, path = "/v1/version",
    params(("project" = String, Query), ("dataset" = String, Query), ("version" = Option<u64>, Query), ("snapshot" = Option<String>, Query),
        ("changeset" = Option<Uuid>, Query), ("open" = Option<Uuid>, Query, description = "What an open push has recorded so far")),
    security(("token" = ["pull", "push"])), responses((status = 200, body = VersionRef)))]
async fn version(
    State(api): Shared,
    caller: By<Reading>,
    Args(which): Args<Which>,
) -> Answer<Record<VersionRef>> {
    caller.may(&which.project)?;
    let found = api.intake.version(&which.project, &which.dataset, &which.selector()?).await;
    Ok(Record(found.map_err(|error| discreet(error, &caller))?))
}

/// What other projects are called is told only to those who may see them.
fn discreet<R: Role>(error: SeamError, caller: &By<R>) -> SeamError {
    match error {
        SeamError::Unknown { what: "project", name, .. } if caller.may_everywhere().is_err() => {
            SeamError::Unknown { what: "project", name, hint: String::new() }
        }
        other => other,
    }
}

/// A part of a tree, and a page of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    at: Option<RelPath>,
    below: Option<RelPath>,
    after: Option<RelPath>,
    limit: Option<u32>,
}

impl Part {
    fn take(self) -> Answer<(PathSpan, Page<RelPath>)> {
        let span = match (self.at, self.below) {
            (None, None) => PathSpan::Everything,
            (Some(at), None) => PathSpan::At(at),
            (None, Some(below)) => PathSpan::Below(below),
            _ => return Err(Refused::invalid("give one of at and below, or none for everything")),
        };
        let limit = self.limit.unwrap_or(1_000).clamp(1, PAGE_ROWS_MAX);
        Ok((span, Page { after: self.after, limit }))
    }
}

/// A page of a version's tree, in path order: one line a path, with the blobs to fetch for it
#[utoipa::path(get, path = "/v1/changesets/{changeset}/tree",
    params(("changeset" = Uuid, Path), ("at" = Option<String>, Query), ("below" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["pull"])), responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn tree(
    State(api): Shared,
    caller: By<Puller>,
    At(id): At<ChangesetId>,
    Args(part): Args<Part>,
) -> Answer<Lines> {
    let version = caller.version_of(&api, id).await?;
    let (span, page) = part.take()?;
    Ok(Lines(lines::write_tree(api.intake.tree(&version, &span, &page).await?)))
}

/// A page of a version's entries, in path order, one line a path, as in manifests
#[utoipa::path(get, path = "/v1/changesets/{changeset}/entries",
    params(("changeset" = Uuid, Path), ("at" = Option<String>, Query), ("below" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["pull", "push"])), responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn entries(
    State(api): Shared,
    caller: By<Reading>,
    At(id): At<ChangesetId>,
    Args(part): Args<Part>,
) -> Answer<Lines> {
    let version = caller.version_of(&api, id).await?;
    let (span, page) = part.take()?;
    Ok(Lines(lines::write_entries(&api.intake.entries(&version, &span, &page).await?)))
}

/// A page of a version's directories, in descending path order
#[utoipa::path(get, path = "/v1/changesets/{changeset}/directories",
    params(("changeset" = Uuid, Path), ("at" = Option<String>, Query), ("below" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["pull"])), responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn directories(
    State(api): Shared,
    caller: By<Puller>,
    At(id): At<ChangesetId>,
    Args(part): Args<Part>,
) -> Answer<Lines> {
    let version = caller.version_of(&api, id).await?;
    let (span, page) = part.take()?;
    let found = api.intake.directories_last_first(&version, &span, &page).await?;
    Ok(Lines(lines::write_entries(&found)))
}

/// A page of a version's paths, in order, with the stores that hold each file, one a line
#[utoipa::path(get, path = "/v1/changesets/{changeset}/files",
    params(("changeset" = Uuid, Path), ("at" = Option<String>, Query), ("below" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["pull"])), responses((status = 200, body = ListedFile, content_type = "application/x-ndjson")))]
async fn files(
    State(api): Shared,
    caller: By<Puller>,
    At(id): At<ChangesetId>,
    Args(part): Args<Part>,
) -> Answer<Lines> {
    let version = caller.version_of(&api, id).await?;
    let (span, page) = part.take()?;
    Ok(Lines(lines::write(api.intake.files(&version, &span, &page).await?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sought {
    text: String,
    project: Option<ProjectName>,
    dataset: Option<DatasetName>,
    after: Option<String>,
    limit: Option<u32>,
}

/// Find paths of latest versions by a part of their name
#[utoipa::path(get, path = "/v1/search",
    params(("text" = String, Query), ("project" = Option<String>, Query, description = "Needed unless the token is for every project"),
        ("dataset" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    security(("token" = ["pull"])), responses((status = 200, body = Listing<SearchHit>)))]
async fn search(
    State(api): Shared,
    caller: By<Puller>,
    Args(sought): Args<Sought>,
) -> Answer<Record<Listing<SearchHit>>> {
    caller.may_in(sought.project.as_ref())?;
    let filter = SearchFilter { project: sought.project, dataset: sought.dataset };
    let paging = Paging { after: sought.after, limit: sought.limit.unwrap_or(100) };
    let found = api.intake.search(&filter, &sought.text, &paging).await;
    Ok(Record(found.map_err(|error| discreet(error, &caller))?))
}
