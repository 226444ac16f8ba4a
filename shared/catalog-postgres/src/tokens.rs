//! See `n2s_catalog::tokens`.

use async_trait::async_trait;
use n2s_catalog::rows::tokens;
use n2s_catalog::{CatalogError, NewToken, TokenHash, TokenRecord, Tokens};
use n2s_domain::TokenId;

use crate::connect::PostgresCatalog;
use crate::decode::{micros, text};
use crate::error::{Fail, ask};

#[async_trait]
impl Tokens for PostgresCatalog {
    async fn add_token(&self, token: &NewToken) -> Result<TokenRecord, CatalogError> {
        ask!(self, "keep a token", self.add(token))
    }

    async fn valid_token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, CatalogError> {
        ask!(self, "look a token up", self.valid(hash))
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError> {
        ask!(self, "list tokens", self.all_tokens())
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, CatalogError> {
        ask!(self, "revoke a token", self.revoke(id))
    }
}

impl PostgresCatalog {
    async fn add(&self, token: &NewToken) -> Result<TokenRecord, Fail> {
        let row = sqlx::query(
            "INSERT INTO api_tokens (token_hash, name, scopes, projects, created_at, expires_at)
             VALUES ($1, $2, $3, $4, n2s_now(), n2s_now() + $5::bigint * interval '1 microsecond') RETURNING *",
        )
        .bind(token.hash.0.to_vec())
        .bind(text(&token.name))
        .bind(json(&token.grants.scopes))
        .bind(token.grants.projects.as_ref().map(json))
        .bind(token.expires_in.map(micros))
        .fetch_one(&mut *self.link().await?)
        .await?;
        tokens::token(&row)
    }

    async fn valid(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, Fail> {
        let row = sqlx::query(
            "SELECT * FROM api_tokens
             WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > n2s_now())",
        )
        .bind(hash.0.to_vec())
        .fetch_optional(&mut *self.link().await?)
        .await?;
        row.as_ref().map(tokens::token).transpose()
    }

    async fn all_tokens(&self) -> Result<Vec<TokenRecord>, Fail> {
        let rows = sqlx::query("SELECT * FROM api_tokens ORDER BY id DESC")
            .fetch_all(&mut *self.link().await?)
            .await?;
        rows.iter().map(tokens::token).collect()
    }

    async fn revoke(&self, id: TokenId) -> Result<TokenRecord, Fail> {
        let row = sqlx::query(
            "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, n2s_now()) WHERE id = $1 RETURNING *",
        )
        .bind(id.0)
        .fetch_optional(&mut *self.link().await?)
        .await?;
        let unknown = || CatalogError::unknown("token", &id, "; `n2s token list` shows those there are");
        tokens::token(&row.ok_or_else(unknown)?)
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of words have string forms")
}
