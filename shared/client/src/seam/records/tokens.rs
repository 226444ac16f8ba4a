//! Tokens of the API.

use std::fmt;

use n2s_domain::{ProjectName, Scope, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::seam::Moment;

/// A token to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// For people: who or what holds it.
    pub name: String,
    /// What it allows.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// Where; absent is every project, those to come included.
    #[schema(value_type = Option<Vec<String>>)]
    pub projects: Option<Vec<ProjectName>>,
    /// How long it lives; absent is until revoked.
    pub expires_secs: Option<u64>,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenStatus {
    /// Its id.
    #[schema(value_type = i64)]
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it allows.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// Where; absent is every project.
    #[schema(value_type = Option<Vec<String>>)]
    pub projects: Option<Vec<ProjectName>>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Moment,
    /// When it ends.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Moment>,
    /// When it was revoked.
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Moment>,
}

/// A new token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// The token's text, told this once.
    pub token: String,
    /// All else.
    #[serde(flatten)]
    pub status: TokenStatus,
}

/// Without the text.
impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("status", &self.status).finish_non_exhaustive()
    }
}
