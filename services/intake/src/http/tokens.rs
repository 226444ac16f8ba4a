//! Tokens, made and revoked by holders of others. Nobody can make a token that allows more than its own.

use axum::extract::State;
use n2s_client::seam::{MadeToken, Operator as _, TokenRequest, TokenStatus};
use n2s_domain::{ProjectName, TokenId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Record};
use super::body::{At, Json};
use super::caller::{By, Governor};
use super::{Api, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Api>> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(list)).routes(routes!(revoke))
}

/// Admin, which no other scope holds, in every project that a token is for.
fn may_govern(caller: &By<Governor>, projects: Option<&Vec<ProjectName>>) -> Answer<()> {
    match projects {
        None => caller.may_everywhere(),
        Some(projects) => projects.iter().try_for_each(|project| caller.may(project)),
    }
}

/// Make a token; its text is in this answer and nowhere else
#[utoipa::path(post, path = "/v1/tokens", request_body = TokenRequest, security(("token" = ["admin"])),
    responses((status = 200, body = MadeToken)))]
async fn create(
    State(api): Shared,
    caller: By<Governor>,
    Json(request): Json<TokenRequest>,
) -> Answer<Record<MadeToken>> {
    may_govern(&caller, request.projects.as_ref())?;
    Ok(Record(api.intake.create_token(&request).await?))
}

/// Every token that ever was, as far as the caller governs its projects, newest first
#[utoipa::path(get, path = "/v1/tokens", security(("token" = ["admin"])), responses((status = 200, body = Vec<TokenStatus>)))]
async fn list(State(api): Shared, caller: By<Governor>) -> Answer<Record<Vec<TokenStatus>>> {
    let mut tokens = api.intake.tokens().await?;
    tokens.retain(|token| may_govern(&caller, token.projects.as_ref()).is_ok());
    Ok(Record(tokens))
}

/// End a token
#[utoipa::path(delete, path = "/v1/tokens/{id}", params(("id" = i64, Path)), security(("token" = ["admin"])),
    responses((status = 200, body = TokenStatus)))]
async fn revoke(
    State(api): Shared,
    caller: By<Governor>,
    At(id): At<TokenId>,
) -> Answer<Record<TokenStatus>> {
    let tokens = api.intake.tokens().await?;
    match tokens.iter().find(|token| token.id == id) {
        Some(token) => may_govern(&caller, token.projects.as_ref())?,
        // Whether there is one is told only to those who may know all.
        None => caller.may_everywhere()?,
    }
    Ok(Record(api.intake.revoke_token(id).await?))
}
