//! Sending blobs: one per request, with headers, or many in one body.

use axum::extract::State;
use axum::http::HeaderMap;
use n2s_client::seam::{Lease, Producer as _, SendBlob};
use n2s_client::wire::calls::{BlobHead, SendAnswer};
use n2s_client::wire::{BLOBS_BODY_MAX, frames};
use n2s_domain::limits::BATCH_ITEMS_MAX;
use n2s_domain::{ContentHash, Epoch};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Record, Refused};
use super::body::{At, Whole};
use super::pushing::Pushing;
use super::{Api, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new().routes(routes!(send_many)).routes(routes!(send_one))
}

/// Stage sealed blobs, durably: frames of a BlobHead and the sealed bytes
#[utoipa::path(post, path = "/v1/pushes/{changeset}/blobs", params(("changeset" = Uuid, Path), ("N2S-Lease" = Uuid, Header)),
    request_body(content = String, content_type = "application/vnd.n2s.frames"), security(("token" = ["push"])),
    responses((status = 200, body = SendAnswer)))]
async fn send_many(
    State(api): Shared,
    Pushing(lease): Pushing,
    body: Whole<BLOBS_BODY_MAX>,
) -> Answer<Record<SendAnswer>> {
    let read = frames::read::<BlobHead>(body.bytes.clone(), BATCH_ITEMS_MAX);
    let read = read.map_err(|error| Refused::invalid(error.to_string()))?;
    let blob = |(head, bytes): (BlobHead, bytes::Bytes)| SendBlob {
        content_hash: head.content_hash,
        size: head.size,
        sealed_hash: head.sealed_hash,
        epoch: head.epoch,
        bytes,
    };
    send(&api, &lease, read.into_iter().map(blob).collect()).await
}

#[derive(Debug, Deserialize)]
struct ContentPath {
    content: ContentHash,
}

/// Stage one sealed blob, durably
#[utoipa::path(put, path = "/v1/pushes/{changeset}/blobs/{content}",
    params(("changeset" = Uuid, Path), ("content" = String, Path, description = "BLAKE3 of the plaintext"), ("N2S-Lease" = Uuid, Header),
        ("N2S-Size" = u64, Header, description = "Plaintext bytes"), ("N2S-Sealed-Hash" = String, Header), ("N2S-Epoch" = u32, Header)),
    request_body(content = String, content_type = "application/octet-stream"), security(("token" = ["push"])),
    responses((status = 200, body = SendAnswer)))]
async fn send_one(
    State(api): Shared,
    Pushing(lease): Pushing,
    At(ContentPath { content }): At<ContentPath>,
    headers: HeaderMap,
    body: Whole<BLOBS_BODY_MAX>,
) -> Answer<Record<SendAnswer>> {
    let blob = SendBlob {
        content_hash: content,
        size: header(&headers, "n2s-size")?,
        sealed_hash: header(&headers, "n2s-sealed-hash")?,
        epoch: Epoch(header(&headers, "n2s-epoch")?),
        bytes: body.bytes.clone(),
    };
    send(&api, &lease, vec![blob]).await
}

fn header<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Answer<T> {
    let read = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    read.ok_or_else(|| Refused::invalid(format!("the header {name} is missing or cannot be read")))
}

async fn send(api: &Api, lease: &Lease, blobs: Vec<SendBlob>) -> Answer<Record<SendAnswer>> {
    let contents: Vec<_> = blobs.iter().map(|blob| blob.content_hash).collect();
    let accepted = api.intake.send(lease, blobs).await?;
    for content in contents {
        tracing::debug!(blob.content = %content, changeset.id = %lease.changeset, "blob accepted");
    }
    Ok(Record(SendAnswer { accepted }))
}
