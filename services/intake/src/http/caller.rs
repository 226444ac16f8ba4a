//! Who calls, and what they may do.
//!
//! A request without a valid token gets one 401, whatever was wrong with the token; a request that its token does not allow gets one 403,
//! whether or not the thing exists: a token teaches nothing about other projects.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use n2s_catalog::ChangesetRecord;
use n2s_client::seam::{Reader as _, SeamError, Selector, VersionRef};
use n2s_client::wire::problem::Refusal;
use n2s_domain::{ChangesetId, Grants, ProjectName, Scope, TokenId};

use super::Api;
use super::answer::{Answer, Refused};
use crate::error::catalog;
use crate::tokens;

/// The holder of a valid token.
#[derive(Clone, Debug)]
struct Caller {
    token: TokenId,
    grants: Grants,
}

/// A kind of call, by the scopes of which it needs one. Admin, which holds the others, needs none.
pub(super) trait Role: Send {
    /// One of these.
    const SCOPES: &'static [Scope];
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident, [$($scope:ident),*]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name;

        impl Role for $name {
            const SCOPES: &'static [Scope] = &[$(Scope::$scope),*];
        }
    };
}

role!(
    /// Pushes.
    Pusher, [Push]
);
role!(
    /// Pulls.
    Puller, [Pull]
);
role!(
    /// Looks at versions: a push compares with the last one.
    Reading, [Pull, Push]
);
role!(
    /// Watches: whoever pushes or pulls may see how far things are.
    Watcher, [Operate, Push, Pull]
);
role!(
    /// Operates.
    Operating, [Operate]
);
role!(
    /// Governs tokens.
    Governor, []
);

/// A caller in a role. That the token allows it somewhere is checked before path, query and body are looked at.
#[derive(Clone, Debug)]
pub(super) struct By<R> {
    caller: Caller,
    role: PhantomData<R>,
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

impl<R: Role, S: Sync> FromRequestParts<S> for By<R> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let caller = parts.extensions.get::<Caller>().cloned().ok_or_else(unauthenticated)?;
        if caller.grants.allow_somewhere(R::SCOPES) {
            Ok(Self { caller, role: PhantomData })
        } else {
            Err(forbidden())
        }
    }
}

impl<R: Role> By<R> {
    /// The caller's token.
    pub(super) fn token(&self) -> TokenId {
        self.caller.token
    }

    /// In this project.
    pub(super) fn may(&self, project: &ProjectName) -> Answer<()> {
        if self.caller.grants.allow(R::SCOPES, project) { Ok(()) } else { Err(forbidden()) }
    }

    /// In this project, or, where none is named, in all.
    pub(super) fn may_in(&self, project: Option<&ProjectName>) -> Answer<()> {
        match project {
            Some(project) => self.may(project),
            None => self.may_everywhere(),
        }
    }

    /// In every project.
    pub(super) fn may_everywhere(&self) -> Answer<()> {
        if self.caller.grants.allow_everywhere(R::SCOPES) { Ok(()) } else { Err(forbidden()) }
    }

    /// In the changeset's project. An unknown changeset is told only to those who may see all.
    pub(super) async fn may_with(&self, api: &Api, changeset: ChangesetId) -> Answer<()> {
        if let Some(project) = api.remembered(changeset) {
            return self.may(&project);
        }
        match api.intake.catalog.changeset(changeset).await.map_err(catalog) {
            Ok(record) => {
                api.remember(changeset, record.project.clone());
                self.may(&record.project)
            }
            Err(unknown @ SeamError::Unknown { .. }) => {
                self.may_everywhere()?;
                Err(unknown.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The version that a changeset made, or is making, if the caller may see it.
    pub(super) async fn version_of(&self, api: &Api, changeset: ChangesetId) -> Answer<VersionRef> {
        let record = self.record_of(api, changeset).await?;
        let selector = match record.committed_at {
            Some(_) => Selector::Changeset(changeset),
            None => Selector::Open(changeset),
        };
        Ok(api.intake.version(&record.project, &record.dataset, &selector).await?)
    }

    /// The version that a changeset made, if the caller may see it; one that is being made is not there yet.
    pub(super) async fn committed_version_of(&self, api: &Api, changeset: ChangesetId) -> Answer<VersionRef> {
        let record = self.record_of(api, changeset).await?;
        let selector = Selector::Changeset(changeset);
        Ok(api.intake.version(&record.project, &record.dataset, &selector).await?)
    }

    async fn record_of(&self, api: &Api, changeset: ChangesetId) -> Answer<ChangesetRecord> {
        self.may_with(api, changeset).await?;
        Ok(api.intake.catalog.changeset(changeset).await.map_err(catalog)?)
    }
}
