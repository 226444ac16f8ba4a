//! Fetching sealed blobs for a pull: many framed in one answer, or one as it is.
//!
//! Blobs are asked for by the ids that a tree listed. Whose each is decides whether the caller gets it; an id of another project answers
//! as an id of nothing does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use n2s_catalog::BlobOwner;
use n2s_client::seam::{Fetched, FileBlob, Reader as _, SeamError};
use n2s_client::wire::calls::{FetchCall, FetchedHead};
use n2s_client::wire::problem::Problem;
use n2s_client::wire::{FRAMES, SEALED, frames};
use n2s_domain::limits::BATCH_ITEMS_MAX;
use n2s_domain::{BackendName, BlobId, ContentHash};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Refused, typed};
use super::body::{At, Json, share};
use super::caller::{By, Puller};
use super::{Api, Shared};
use crate::error::catalog;

/// Blobs read from the stores at a time.
const GROUP_BYTES: u64 = 8 * 1024 * 1024;
const GROUP_BLOBS: usize = 64;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(fetch)).routes(routes!(fetch_one))
}

/// Fetch blobs, in the order asked for, sealed or opened by the server: frames of a FetchedHead and the bytes
#[utoipa::path(post, path = "/v1/blobs/fetch", request_body = FetchCall, security(("token" = ["pull"])),
    responses((status = 200, body = String, content_type = "application/vnd.n2s.frames")))]
async fn fetch(State(api): Shared, caller: By<Puller>, Json(call): Json<FetchCall>) -> Answer<Response> {
    if call.blobs.len() > BATCH_ITEMS_MAX {
        return Err(Refused::invalid(format!("at most {BATCH_ITEMS_MAX} blobs can be asked for at once")));
    }
    if let Some(unknown) = call.from.as_ref().and_then(|from| api.intake.no_store(from)) {
        return Err(SeamError::from(unknown).into());
    }
    let wanted = allowed(&api, &caller, call.blobs).await?;
    let groups = grouped(wanted);
    let largest = groups.iter().map(|group| bytes_of(group)).max().unwrap_or(0);
    let share = Arc::new(share(&api, largest)?);
    let open = call.open;
    let frames = stream::iter(groups).then(move |group| {
        let (api, from, share) = (Arc::clone(&api), call.from.clone(), Arc::clone(&share));
        async move {
            let frames = read(&api, group, (from.as_ref(), open)).await;
            drop(share);
            stream::iter(frames.into_iter().map(Ok::<_, std::convert::Infallible>))
        }
    });
    let body = Body::from_stream(frames.flatten());
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(FRAMES))], body).into_response())
}

/// Fetch one sealed blob by the id that a tree listed
#[utoipa::path(get, path = "/v1/blobs/{id}", params(("id" = i64, Path)), security(("token" = ["pull"])),
    responses((status = 200, body = String, content_type = "application/octet-stream")))]
async fn fetch_one(State(api): Shared, caller: By<Puller>, At(id): At<i64>) -> Answer<Response> {
    let owner = owners(&api, &caller, &[id]).await?.pop().flatten();
    let BlobOwner { sealed_hash, encrypted_size, .. } = owner.ok_or_else(|| Refused::from(unknown(id)))?;
    let blob = FileBlob { id, content_hash: ContentHash([0; 32]), sealed_hash, encrypted_size };
    let _share = share(&api, encrypted_size)?;
    let fetched = api.intake.fetch(&[blob], None).await.pop().expect("one answer per question")?;
    Ok(typed(SEALED, fetched.bytes))
}

type Wanted = (FileBlob, bool);

fn unknown(id: i64) -> SeamError {
    SeamError::Unknown { what: "blob", name: id.to_string(), hint: String::new() }
}

/// What there is to know of each blob that the caller may have.
async fn owners(api: &Api, caller: &By<Puller>, ids: &[i64]) -> Answer<Vec<Option<BlobOwner>>> {
    let ids: Vec<_> = ids.iter().map(|id| BlobId(*id)).collect();
    let owners = api.intake.catalog.blob_owners(&ids).await.map_err(catalog)?;
    let mine = |owner: &BlobOwner| caller.may(&owner.project).is_ok();
    Ok(owners.into_iter().map(|owner| owner.filter(mine)).collect())
}

/// Marks the blobs that are the caller's to read, under the name they were listed with. How long they are is not taken on the caller's
/// word: that bounds what they take of memory.
async fn allowed(api: &Api, caller: &By<Puller>, blobs: Vec<FileBlob>) -> Answer<Vec<Wanted>> {
    let ids: Vec<_> = blobs.iter().map(|blob| blob.id).collect();
    let owners = owners(api, caller, &ids).await?;
    let mark = |(blob, owner): (FileBlob, Option<BlobOwner>)| {
        let owner = owner.filter(|owner| owner.sealed_hash == blob.sealed_hash);
        let encrypted_size = owner.as_ref().map_or(0, |owner| owner.encrypted_size);
        (FileBlob { encrypted_size, ..blob }, owner.is_some())
    };
    Ok(blobs.into_iter().zip(owners).map(mark).collect())
}

fn bytes_of(group: &[Wanted]) -> u64 {
    group.iter().map(|(blob, _)| blob.encrypted_size).sum()
}

fn grouped(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut groups: Vec<Vec<Wanted>> = Vec::new();
    for one in wanted {
        match groups.last_mut() {
            Some(group)
                if group.len() < GROUP_BLOBS && bytes_of(group) + one.0.encrypted_size <= GROUP_BYTES =>
            {
                group.push(one);
            }
            _ => groups.push(vec![one]),
        }
    }
    groups
}

async fn read(api: &Api, group: Vec<Wanted>, (from, open): (Option<&BackendName>, bool)) -> Vec<Bytes> {
    let mine: Vec<_> = group.iter().filter(|(_, mine)| *mine).map(|(blob, _)| *blob).collect();
    let fetched =
        if open { api.intake.fetch_opened(&mine, from).await } else { api.intake.fetch(&mine, from).await };
    let mut fetched = fetched.into_iter();
    let mut frames = Vec::with_capacity(group.len() * 2);
    for (blob, mine) in group {
        let answer = if mine { fetched.next() } else { None };
        frame(answer.unwrap_or_else(|| Err(unknown(blob.id))), &mut frames);
    }
    frames
}

fn frame(answer: Result<Fetched, SeamError>, frames: &mut Vec<Bytes>) {
    match answer {
        Ok(Fetched { bytes, bad_copies }) => {
            let length = bytes.len() as u64;
            frames.push(frames::head(&FetchedHead { length, bad_copies, problem: None }));
            frames.push(bytes);
        }
        Err(error) => {
            let problem = Some(Problem::from(&error));
            frames.push(frames::head(&FetchedHead { length: 0, bad_copies: Vec::new(), problem }));
        }
    }
}
