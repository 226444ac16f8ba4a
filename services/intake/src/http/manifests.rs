//! What a push needs to write its manifest: what the catalog has recorded, page by page.

use axum::extract::State;
use n2s_client::seam::{ManifestGroup, Producer as _, StoredBlob, VersionCounts};
use n2s_client::wire::calls::{GroupsCall, ReplacedAnswer};
use n2s_client::wire::lines;
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{ContentHash, RelPath, Version};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, Lines, Record};
use super::body::{Args, Json};
use super::pushing::Pushing;
use super::{Api, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(groups))
        .routes(routes!(record_groups))
        .routes(routes!(counts))
        .routes(routes!(changes))
        .routes(routes!(blobs))
        .routes(routes!(replaced))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<K> {
    #[serde(default)]
    since: u64,
    after: Option<K>,
    limit: u32,
}

/// The groups of the parent's lists, base first
#[utoipa::path(get, path = "/v1/pushes/{changeset}/groups", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 200, body = Vec<ManifestGroup>)))]
async fn groups(State(api): Shared, Pushing(lease): Pushing) -> Answer<Record<Vec<ManifestGroup>>> {
    Ok(Record(api.intake.manifest_groups(&lease).await?))
}

/// Add groups, whose segments have been sent; a second call replaces the first's
#[utoipa::path(put, path = "/v1/pushes/{changeset}/groups", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    request_body = GroupsCall, security(("token" = ["push"])), responses((status = 204)))]
async fn record_groups(
    State(api): Shared,
    Pushing(lease): Pushing,
    Json(call): Json<GroupsCall>,
) -> Answer<Done> {
    api.intake.record_groups(&lease, &call.groups).await?;
    Ok(Done)
}

/// Counts of the version as recorded so far
#[utoipa::path(get, path = "/v1/pushes/{changeset}/counts", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 200, body = VersionCounts)))]
async fn counts(State(api): Shared, Pushing(lease): Pushing) -> Answer<Record<VersionCounts>> {
    Ok(Record(api.intake.version_counts(&lease).await?))
}

/// Differences between version `since` and this push, one line a path, in order; every path when it is 0
#[utoipa::path(get, path = "/v1/pushes/{changeset}/changes",
    params(("changeset" = Uuid, Path), ("since" = u64, Query), ("after" = Option<String>, Query), ("limit" = u32, Query), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn changes(
    State(api): Shared,
    Pushing(lease): Pushing,
    Args(args): Args<Part<RelPath>>,
) -> Answer<Lines> {
    let (since, limit) = (Version(args.since), args.limit.clamp(1, PAGE_ROWS_MAX));
    let page = api.intake.manifest_changes(&lease, since, args.after.as_ref(), limit).await?;
    Ok(Lines(lines::write_changes(&page)))
}

/// Blobs that rows later than version `since` reference, one a line, by content
#[utoipa::path(get, path = "/v1/pushes/{changeset}/stored",
    params(("changeset" = Uuid, Path), ("since" = u64, Query), ("after" = Option<String>, Query), ("limit" = u32, Query), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 200, body = StoredBlob, content_type = "application/x-ndjson")))]
async fn blobs(
    State(api): Shared,
    Pushing(lease): Pushing,
    Args(args): Args<Part<ContentHash>>,
) -> Answer<Lines> {
    let (since, limit) = (Version(args.since), args.limit.clamp(1, PAGE_ROWS_MAX));
    let page = api.intake.manifest_blobs(&lease, since, args.after, limit).await?;
    Ok(Lines(lines::write(page)))
}

/// Sealings replaced since the parent
#[utoipa::path(get, path = "/v1/pushes/{changeset}/replaced", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 200, body = ReplacedAnswer)))]
async fn replaced(State(api): Shared, Pushing(lease): Pushing) -> Answer<Record<ReplacedAnswer>> {
    Ok(Record(ReplacedAnswer { replaced: api.intake.replaced_sealings(&lease).await? }))
}
