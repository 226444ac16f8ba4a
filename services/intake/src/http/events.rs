//! Progress of a changeset as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use n2s_client::seam::{ChangesetRecord, Operator as _};
use n2s_client::wire::problem::Problem;
use n2s_domain::{ChangesetId, ChangesetStatus};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::body::At;
use super::caller::{By, Watcher};
use super::{Api, Shared};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A changeset's record whenever it has changed: events `progress`, then one `settled`, or `problem`; then the stream ends. It ends
/// without either when the server goes down: ask again
#[utoipa::path(get, path = "/v1/changesets/{changeset}/events", params(("changeset" = Uuid, Path)),
    security(("token" = ["operate", "push", "pull"])),
    responses((status = 200, body = ChangesetRecord, content_type = "text/event-stream")))]
async fn events(
    State(api): Shared,
    caller: By<Watcher>,
    At(id): At<ChangesetId>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    caller.may_with(&api, id).await?;
    let watched = Watched { api, id, last: None, over: false };
    let events = stream::unfold(watched, |mut watched| async { Some((Ok(watched.next().await?), watched)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Watched {
    api: Arc<Api>,
    id: ChangesetId,
    last: Option<ChangesetRecord>,
    over: bool,
}

impl Watched {
    async fn next(&mut self) -> Option<Event> {
        while !self.over && !self.api.is_draining() {
            match self.api.intake.changeset(self.id).await {
                Err(error) => {
                    self.over = true;
                    return Some(event("problem", &Problem::from(&error)));
                }
                Ok(record) if self.last.as_ref() == Some(&record) => tokio::time::sleep(LOOK_EVERY).await,
                Ok(record) => {
                    self.over = !matches!(record.status, ChangesetStatus::Pending | ChangesetStatus::Pushing);
                    let name = if self.over { "settled" } else { "progress" };
                    return Some(event(name, self.last.insert(record)));
                }
            }
        }
        None
    }
}

fn event(name: &str, record: &impl Serialize) -> Event {
    let json = serde_json::to_string(record).expect("records serialise into memory");
    Event::default().event(name).data(json)
}
