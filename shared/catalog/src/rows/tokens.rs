//! Tokens.

use n2s_domain::{Grants, TokenId};

use super::Columns;
use crate::{CatalogError, TokenRecord};

/// A token's row.
pub fn token<E, R: Columns<E>>(row: &R) -> Result<TokenRecord, E> {
    let id = row.int("id")?;
    let damaged =
        |column| R::damaged(CatalogError::Inconsistent { table: "api_tokens", column, row: id.to_string() });
    let scopes = serde_json::from_str(row.text("scopes")?).map_err(|_| damaged("scopes"))?;
    let projects = row.text_opt("projects")?.map(serde_json::from_str).transpose();
    Ok(TokenRecord {
        id: TokenId(id),
        name: row.string("name")?,
        grants: Grants { scopes, projects: projects.map_err(|_| damaged("projects"))? },
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}
