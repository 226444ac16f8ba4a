//! A version in one body, for whoever has no n2s at hand.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use n2s_domain::ChangesetId;
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Refused};
use super::body::{Args, At, share};
use super::caller::{By, Puller};
use super::{Api, Shared};
use crate::archive::ARCHIVE_BYTES;

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
    let first = pieces.recv().await.transpose()?;
    let rest = ReceiverStream::new(pieces);
    let body = stream::iter(first.map(Ok)).chain(rest).map(move |piece| {
        let _held = &share;
        piece.map_err(|error| std::io::Error::other(error.to_string()))
    });
    let name = format!("attachment; filename=\"{id}.tar\"");
    let headers = [(CONTENT_TYPE, "application/x-tar".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(body)).into_response())
}
