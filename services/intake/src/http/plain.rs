//! Pushing without the vault: the server seals.

use axum::extract::State;
use n2s_client::seam::{Committed, PlainBlob, PlainTerms};
use n2s_client::wire::calls::{PlainHead, PlainManifestHead, SealedAnswer};
use n2s_client::wire::{BLOBS_BODY_MAX, frames};
use n2s_domain::limits::BATCH_ITEMS_MAX;
use n2s_domain::{DatasetName, ProjectName};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Record, Refused};
use super::body::{Args, Whole, share};
use super::caller::{By, Pusher};
use super::pushing::Pushing;
use super::{Api, Shared};
use crate::plain::plain_commit;

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new().routes(routes!(terms)).routes(routes!(send)).routes(routes!(commit))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    project: ProjectName,
    dataset: DatasetName,
}

/// What to know before a push whose contents the server seals
#[utoipa::path(get, path = "/v1/plain", params(("project" = String, Query), ("dataset" = String, Query)),
    security(("token" = ["push"])), responses((status = 200, body = PlainTerms)))]
async fn terms(State(api): Shared, caller: By<Pusher>, Args(at): Args<Where>) -> Answer<Record<PlainTerms>> {
    caller.may(&at.project)?;
    Ok(Record(api.intake.terms(&at.project, &at.dataset)?))
}

/// Have contents sealed and staged, durably: frames of a PlainHead and the plaintext
#[utoipa::path(post, path = "/v1/pushes/{changeset}/plain", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    request_body(content = String, content_type = "application/vnd.n2s.frames"), security(("token" = ["push"])),
    responses((status = 200, body = SealedAnswer)))]
async fn send(
    State(api): Shared,
    Pushing(lease): Pushing,
    body: Whole<BLOBS_BODY_MAX>,
) -> Answer<Record<SealedAnswer>> {
    // Sealed copies are in memory beside what came.
    let _share = share(&api, body.bytes.len() as u64)?;
    let read = frames::read::<PlainHead>(body.bytes.clone(), BATCH_ITEMS_MAX);
    let read = read.map_err(|error| Refused::invalid(error.to_string()))?;
    let blob = |(head, bytes): (PlainHead, bytes::Bytes)| PlainBlob {
        content_hash: head.content_hash,
        seen: head.seen,
        bytes,
    };
    let sealed = api.intake.seal_and_send(&lease, read.into_iter().map(blob).collect()).await?;
    Ok(Record(SealedAnswer { sealed }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitArgs {
    batches: u64,
}

/// Commit with a manifest that the server seals: two frames, its header and its body as JSON; safe to repeat
#[utoipa::path(post, path = "/v1/pushes/{changeset}/commit-plain",
    params(("changeset" = Uuid, Path), ("batches" = u64, Query, description = "Distinct batches sent"), ("N2S-Lease" = Uuid, Header)),
    request_body(content = String, content_type = "application/vnd.n2s.frames"), security(("token" = ["push"])),
    responses((status = 200, body = Committed)))]
async fn commit(
    State(api): Shared,
    Pushing(lease): Pushing,
    Args(args): Args<CommitArgs>,
    body: Whole<BLOBS_BODY_MAX>,
) -> Answer<Record<Committed>> {
    let read = frames::read::<PlainManifestHead>(body.bytes.clone(), 2);
    let read = read.map_err(|error| Refused::invalid(error.to_string()))?;
    let commit = plain_commit(args.batches, read.into_iter().map(|(_, part)| part).collect());
    let commit = commit
        .ok_or_else(|| Refused::invalid("a commit has two frames: the manifest's header and its body"))?;
    Ok(Record(api.intake.seal_and_commit(&lease, commit).await?))
}
