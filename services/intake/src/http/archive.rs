//! A version in one body, for whoever has no n2s at hand.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use n2s_client::seam::SeamError;
use n2s_domain::ChangesetId;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Refused};
use super::body::{Args, At, share};
use super::caller::{By, Puller};
use super::{Api, Shared};
use crate::archive::{ARCHIVE_BYTES, Pieces};

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(archive))
}

/// A version as a tar archive, opened by the server. It is whole if the answer ends as HTTP says; a connection that is cut before means
/// that it is not
#[utoipa::path(get, path = "/v1/changesets/{changeset}/archive",
    params(("changeset" = Uuid, Path), ("path" = Option<Vec<String>>, Query, description = "Only what matches one of these globs; repeatable")),
    security(("token" = ["pull"])), responses((status = 200, body = String, content_type = "application/x-tar")))]
async fn archive(
    State(api): Shared,
    caller: By<Puller>,
    At(id): At<ChangesetId>,
    Args(args): Args<Vec<(String, String)>>,
) -> Answer<Response> {
    let version = caller.committed_version_of(&api, id).await?;
    if let Some((unknown, _)) = args.iter().find(|(name, _)| name != "path") {
        return Err(Refused::invalid(format!("there is no parameter {unknown} here, only path")));
    }
    let globs: Vec<_> = args.into_iter().map(|(_, glob)| glob).collect();
    let share = share(&api, ARCHIVE_BYTES)?;
    let mut pieces = api.intake.archive(version, &globs)?;
    // What can be told before the first byte is told as a refusal, with its status.
    let first = pieces.recv().await.unwrap_or_else(|| Err(early()))?;
    let rest = Rest { first: Some(first), pieces, _share: share };
    let body = Body::from_stream(stream::unfold(Some(rest), Rest::next));
    let name = format!("attachment; filename=\"{id}.tar\"");
    let headers = [(CONTENT_TYPE, "application/x-tar".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

/// What is still to be sent of an archive.
struct Rest {
    first: Option<Bytes>,
    pieces: Pieces,
    /// Held until the answer ends.
    _share: OwnedSemaphorePermit,
}

impl Rest {
    /// An error ends the answer by cutting the connection: nobody takes what came for all of it.
    async fn next(rest: Option<Self>) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let mut rest = rest?;
        let piece = match rest.first.take() {
            Some(first) => Ok(first),
            None => rest.pieces.recv().await.unwrap_or_else(|| Err(early())),
        };
        match piece {
            Ok(end) if end.is_empty() => None,
            Ok(bytes) => Some((Ok(bytes), Some(rest))),
            Err(error) => Some((Err(io::Error::other(error.to_string())), None)),
        }
    }
}

fn early() -> SeamError {
    SeamError::Other { doing: "making an archive", source: anyhow::anyhow!("it ended before its end") }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    #[tokio::test]
    async fn an_archive_whose_maker_dies_is_not_taken_for_whole() {
        for (ends, wanted) in [(true, [true, true].as_slice()), (false, &[true, true, false])] {
            let (out, pieces) = mpsc::channel(3);
            for piece in [&b"first"[..], b"second", b""].into_iter().take(if ends { 3 } else { 2 }) {
                out.send(Ok(Bytes::from_static(piece))).await.unwrap();
            }
            // As a panic would.
            drop(out);
            let share = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let rest = Rest { first: None, pieces, _share: share };
            let sent: Vec<_> =
                stream::unfold(Some(rest), Rest::next).map(|piece| piece.is_ok()).collect().await;
            assert_eq!(sent, wanted);
        }
    }
}
