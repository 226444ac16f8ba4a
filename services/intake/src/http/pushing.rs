//! A call of an open push: whose it is, and the lease it carries. Extracted before the body, so that nobody's bytes are read in vain.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use n2s_client::seam::Lease;
use n2s_client::wire::LEASE_HEADER;
use n2s_domain::{ChangesetId, LeaseToken};

use super::Api;
use super::answer::Refused;
use super::caller::{By, Pusher};

/// The lease of a push in a project that the caller may push to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pushing(pub(super) Lease);

impl FromRequestParts<Arc<Api>> for Pushing {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refused> {
        let caller = By::<Pusher>::from_request_parts(parts, api).await?;
        let path = RawPathParams::from_request_parts(parts, api).await;
        let path = path.map_err(|error| Refused::invalid(error.body_text()))?;
        let found = path.iter().find(|(name, _)| *name == "changeset").map(|(_, value)| value.parse());
        let Some(Ok(changeset)) = found else {
            return Err(Refused::invalid("the changeset in the path is not an id"));
        };
        let changeset: ChangesetId = changeset;
        caller.may_with(api, changeset).await?;
        let text = parts.headers.get(LEASE_HEADER).and_then(|value| value.to_str().ok());
        let token = text.and_then(|text| text.parse().ok()).map(LeaseToken);
        token.map(|token| Self(Lease { changeset, token })).ok_or_else(|| {
            Refused::invalid(format!("the header {LEASE_HEADER} must carry the token that open answered"))
        })
    }
}
