//! Who calls, and what they may do.
//!
//! A request without a valid token gets one 401, whatever was wrong with the token; a request that its token does not allow gets one 403,
//! whether or not the thing exists: a token teaches nothing about other projects.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use n2s_client::seam::{SeamError, VersionRef};
use n2s_client::wire::problem::Refusal;
use n2s_domain::{ChangesetId, Grants, ProjectName, Scope, TokenId};

use super::Api;
use super::answer::{Answer, Refused};
use crate::error::catalog;
use crate::tokens;

/// The holder of a valid token.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: TokenId,
    grants: Grants,
}

fn unauthenticated() -> Refused {
    Refused::new(
        Refusal::Unauthenticated,
        "a valid token is needed, as Authorization: Bearer TOKEN; `n2s token create` makes one",
    )
}

fn forbidden() -> Refused {
    Refused::new(
        Refusal::Forbidden,
        "this token does not allow that; `n2s token list` shows what it allows, `n2s token create` makes another",
    )
}

/// Looks the token up before anything else is looked at.
pub(super) async fn authenticate(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let hash = tokens::hash(bearer.ok_or_else(unauthenticated)?);
    let found = api.intake.catalog.valid_token(&hash).await.map_err(catalog)?;
    let found = found.ok_or_else(unauthenticated)?;
    request.extensions_mut().insert(Caller { token: found.id, grants: found.grants });
    Ok(next.run(request).await)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

impl Caller {
    /// One of `scopes` in this project.
    pub(super) fn may(&self, scopes: &[Scope], project: &ProjectName) -> Answer<()> {
        if self.grants.allow(scopes, project) { Ok(()) } else { Err(forbidden()) }
    }

    /// One of `scopes` in this project, or, where none is named, in all.
    pub(super) fn may_in(&self, scopes: &[Scope], project: Option<&ProjectName>) -> Answer<()> {
        match project {
            Some(project) => self.may(scopes, project),
            None => self.may_everywhere(scopes),
        }
    }

    /// One of `scopes` in every project.
    pub(super) fn may_everywhere(&self, scopes: &[Scope]) -> Answer<()> {
        if self.grants.allow_everywhere(scopes) { Ok(()) } else { Err(forbidden()) }
    }

    /// One of `scopes` in any project.
    pub(super) fn may_somewhere(&self, scopes: &[Scope]) -> Answer<()> {
        if self.grants.allow_somewhere(scopes) { Ok(()) } else { Err(forbidden()) }
    }

    /// One of `scopes` in the changeset's project. An unknown changeset is told only to those who may see all.
    pub(super) async fn may_with(
        &self,
        api: &Api,
        scopes: &[Scope],
        changeset: ChangesetId,
    ) -> Answer<ProjectName> {
        self.may_somewhere(scopes)?;
        let project = match api.remembered(changeset) {
            Some(project) => project,
            None => match api.intake.catalog.changeset(changeset).await.map_err(catalog) {
                Ok(record) => {
                    api.remember(changeset, record.project.clone());
                    record.project
                }
                Err(unknown @ SeamError::Unknown { .. }) => {
                    self.may_everywhere(scopes)?;
                    return Err(unknown.into());
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.may(scopes, &project)?;
        Ok(project)
    }

    /// The version that a changeset made, or is making, if the caller may see it.
    pub(super) async fn version_of(
        &self,
        api: &Api,
        scopes: &[Scope],
        changeset: ChangesetId,
    ) -> Answer<VersionRef> {
        use n2s_client::seam::{Reader as _, Selector};
        self.may_with(api, scopes, changeset).await?;
        let record = api.intake.catalog.changeset(changeset).await.map_err(catalog)?;
        let selector = match record.committed_at {
            Some(_) => Selector::Changeset(changeset),
            None => Selector::Open(changeset),
        };
        Ok(api.intake.version(&record.project, &record.dataset, &selector).await?)
    }
}
