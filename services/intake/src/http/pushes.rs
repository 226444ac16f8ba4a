//! A push: open, renew, offer, entries, commit, abandon.

use axum::extract::State;
use axum::http::HeaderMap;
use n2s_catalog as cat;
use n2s_client::seam::{
    Commit, Committed, Offered, OpenRequest, Opened, Producer as _, SealedObject, SeamError, TakeOver,
};
use n2s_client::wire::calls::{CatalogInfo, ManifestHead, OfferAnswer, OfferCall, VaultObjects, VaultPath};
use n2s_client::wire::{BLOBS_BODY_MAX, ENTRIES_BODY_MAX, frames, lines};
use n2s_domain::limits::{BATCH_ITEMS_MAX, PUSH_LEASE};
use n2s_domain::{ChangesetStatus, LeaseToken, TokenId};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, Record, Refused};
use super::body::{Args, At, Json, Whole};
use super::caller::{By, Pusher, Watcher};
use super::pushing::Pushing;
use super::{Api, Shared};
use crate::error::catalog;

/// The header that makes a repeated open answer as the first did.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(register))
        .routes(routes!(open))
        .routes(routes!(renew))
        .routes(routes!(offer))
        .routes(routes!(entries))
        .routes(routes!(commit))
        .routes(routes!(abandon))
}

/// What a client must know first
#[utoipa::path(get, path = "/v1/catalog", security(("token" = ["push", "pull", "operate"])), responses((status = 200, body = CatalogInfo)))]
async fn info(State(api): Shared, _: By<Watcher>) -> Answer<Record<CatalogInfo>> {
    Ok(Record(CatalogInfo { catalog: api.intake.catalog_id().await? }))
}

/// Register the vault that seals, or its new epochs; the answer is what is registered, which the caller compares
#[utoipa::path(put, path = "/v1/vaults/{vault}", params(("vault" = String, Path)), request_body = VaultObjects,
    security(("token" = ["push"])), responses((status = 200, body = VaultObjects)))]
async fn register(
    State(api): Shared,
    _: By<Pusher>,
    At(VaultPath { vault }): At<VaultPath>,
    Json(objects): Json<VaultObjects>,
) -> Answer<Record<VaultObjects>> {
    let objects = crate::vaults::read(vault, &objects)?;
    api.intake.catalog.register_vault(&objects).await.map_err(catalog)?;
    let registered = api.intake.catalog.vault_objects(vault).await.map_err(catalog)?;
    Ok(Record(crate::vaults::show(&registered.unwrap_or(objects))))
}

/// Open a push, or resume one
#[utoipa::path(post, path = "/v1/pushes", request_body = OpenRequest,
    params(("Idempotency-Key" = String, Header, description = "Any text of the caller's own; the same again repeats the same open")),
    security(("token" = ["push"])), responses((status = 200, body = Opened)))]
async fn open(
    State(api): Shared,
    caller: By<Pusher>,
    headers: HeaderMap,
    Json(request): Json<OpenRequest>,
) -> Answer<Record<Opened>> {
    caller.may(&request.project)?;
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refused::invalid("the header Idempotency-Key is needed to open a push"))?;
    if api.intake.catalog.vault_objects(request.vault).await.map_err(catalog)?.is_none() {
        let why =
            format!("vault {} is not registered; PUT /v1/vaults/{} does that", request.vault, request.vault);
        return Err(Refused::invalid(why));
    }
    let token = lease_token(caller.token(), key, &request);
    let repeated = is_own(&api, &request, token).await?;
    let take_over = if repeated { TakeOver::OwnEvenIfLive } else { request.take_over };
    let opened = api.intake.open_with(&OpenRequest { take_over, ..request.clone() }, token).await?;
    api.remember(opened.lease.changeset, request.project);
    Ok(Record(opened))
}

/// The lease's token follows from the key, so that a repeated open, even of another process after a restart, is known by the lease it
/// finds: nothing has to be remembered.
fn lease_token(token: TokenId, key: &str, request: &OpenRequest) -> LeaseToken {
    let mut hasher = blake3::Hasher::new_derive_key("n2s 2026-11 write lease of an idempotency key");
    let request = serde_json::to_vec(request).expect("records serialise into memory");
    for part in [&token.0.to_le_bytes()[..], key.as_bytes(), &request] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    LeaseToken(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Whether this very open has happened already.
async fn is_own(api: &Api, request: &OpenRequest, token: LeaseToken) -> Answer<bool> {
    let filter = cat::ChangesetFilter {
        project: Some(request.project.clone()),
        dataset: Some(request.dataset.clone()),
        status: None,
    };
    let newest = api.intake.catalog.changesets(&filter, &cat::Page { after: None, limit: 1 }).await;
    let newest = match newest.map_err(catalog) {
        Ok(found) => found.into_iter().next(),
        Err(SeamError::Unknown { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(newest) = newest.filter(|found| found.committed_at.is_none()) else { return Ok(false) };
    if newest.status == ChangesetStatus::Failed {
        return Ok(false);
    }
    let lease = cat::PushLease { changeset: newest.id, token };
    match api.intake.catalog.renew_push(&lease, PUSH_LEASE).await.map_err(catalog) {
        Ok(_) => Ok(true),
        Err(SeamError::LeaseLost(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Extend the write lease; every other call does so, too
#[utoipa::path(post, path = "/v1/pushes/{changeset}/renew", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 204)))]
async fn renew(State(api): Shared, Pushing(lease): Pushing) -> Answer<Done> {
    api.intake.renew(&lease).await?;
    Ok(Done)
}

/// Ask which contents must be sent, and pin the others
#[utoipa::path(post, path = "/v1/pushes/{changeset}/offers", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    request_body = OfferCall, security(("token" = ["push"])), responses((status = 200, body = OfferAnswer)))]
async fn offer(
    State(api): Shared,
    Pushing(lease): Pushing,
    Json(call): Json<OfferCall>,
) -> Answer<Record<OfferAnswer>> {
    let answers = api.intake.offer(&lease, &call.contents).await?;
    let held = answers.into_iter().map(|answer| match answer {
        Offered::Missing => None,
        Offered::Held(sealed_hash) => Some(sealed_hash),
    });
    Ok(Record(OfferAnswer { held: held.collect() }))
}

/// Record one numbered batch of changes, one line a path, as in manifests; sending it twice records it once
#[utoipa::path(put, path = "/v1/pushes/{changeset}/entries/{batch}",
    params(("changeset" = Uuid, Path), ("batch" = u64, Path, description = "From 1"), ("N2S-Lease" = Uuid, Header)),
    request_body(content = String, content_type = "application/x-ndjson"), security(("token" = ["push"])), responses((status = 204)))]
async fn entries(
    State(api): Shared,
    Pushing(lease): Pushing,
    At(BatchPath { batch }): At<BatchPath>,
    body: Whole<ENTRIES_BODY_MAX>,
) -> Answer<Done> {
    let changes = lines::read_changes(&body.bytes, BATCH_ITEMS_MAX);
    let changes = changes.map_err(|error| Refused::invalid(error.to_string()))?;
    api.intake.entries(&lease, batch, &changes).await?;
    Ok(Done)
}

#[derive(Debug, Deserialize)]
struct BatchPath {
    batch: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitArgs {
    batches: u64,
}

/// Commit: two frames, the sealed manifest header and its body; safe to repeat
#[utoipa::path(post, path = "/v1/pushes/{changeset}/commit",
    params(("changeset" = Uuid, Path), ("batches" = u64, Query, description = "Distinct batches sent"), ("N2S-Lease" = Uuid, Header)),
    request_body(content = String, content_type = "application/vnd.n2s.frames"), security(("token" = ["push"])),
    responses((status = 200, body = Committed)))]
async fn commit(
    State(api): Shared,
    Pushing(lease): Pushing,
    Args(CommitArgs { batches }): Args<CommitArgs>,
    body: Whole<BLOBS_BODY_MAX>,
) -> Answer<Record<Committed>> {
    let read = frames::read::<ManifestHead>(body.bytes.clone(), 2);
    let read = read.map_err(|error| Refused::invalid(error.to_string()))?;
    let object =
        |(head, bytes): (ManifestHead, bytes::Bytes)| SealedObject { sealed_hash: head.sealed_hash, bytes };
    let mut objects = read.into_iter().map(object);
    let (Some(header), Some(manifest)) = (objects.next(), objects.next()) else {
        return Err(Refused::invalid("a commit has two frames: the manifest's header and its body"));
    };
    let commit = Commit { batches, header, body: manifest };
    Ok(Record(api.intake.commit(&lease, commit).await?))
}

/// Give a push up; its rows are undone
#[utoipa::path(delete, path = "/v1/pushes/{changeset}", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    security(("token" = ["push"])), responses((status = 204)))]
async fn abandon(State(api): Shared, Pushing(lease): Pushing) -> Answer<Done> {
    api.intake.abandon(&lease).await?;
    Ok(Done)
}
