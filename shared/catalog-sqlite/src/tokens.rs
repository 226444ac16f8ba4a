//! See `n2s_catalog::tokens`.

use async_trait::async_trait;
use n2s_catalog::rows::tokens;
use n2s_catalog::{CatalogError, NewToken, TokenHash, TokenRecord, Tokens};
use n2s_domain::{Timestamp, TokenId};

use crate::connect::SqliteCatalog;
use crate::decode::json;
use crate::error::{Fail, ask};

#[async_trait]
impl Tokens for SqliteCatalog {
    async fn add_token(&self, token: &NewToken) -> Result<TokenRecord, CatalogError> {
        ask!("keep a token", self.add(token))
    }

    async fn valid_token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, CatalogError> {
        ask!("look a token up", self.valid(hash))
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError> {
        ask!("list tokens", self.all_tokens())
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, CatalogError> {
        ask!("revoke a token", self.revoke(id))
    }
}

impl SqliteCatalog {
    async fn add(&self, token: &NewToken) -> Result<TokenRecord, Fail> {
        let now = Timestamp::from_micros(self.now());
        let row = sqlx::query(
            "INSERT INTO api_tokens (token_hash, name, scopes, projects, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        )
        .bind(token.hash.0.to_vec())
        .bind(token.name.clone())
        .bind(json(&token.grants.scopes))
        .bind(token.grants.projects.as_ref().map(json))
        .bind(now.as_micros())
        .bind(token.expires_in.map(|expires_in| now.after(expires_in).as_micros()))
        .fetch_one(&mut *self.writer().await)
        .await?;
        tokens::token(&row)
    }

    async fn valid(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, Fail> {
        let row = sqlx::query(
            "SELECT * FROM api_tokens
             WHERE token_hash = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(hash.0.to_vec())
        .bind(self.now())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(tokens::token).transpose()
    }

    async fn all_tokens(&self) -> Result<Vec<TokenRecord>, Fail> {
        let rows = sqlx::query("SELECT * FROM api_tokens ORDER BY id DESC").fetch_all(self.readers()).await?;
        rows.iter().map(tokens::token).collect()
    }

    async fn revoke(&self, id: TokenId) -> Result<TokenRecord, Fail> {
        let row = sqlx::query(
            "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING *",
        )
        .bind(self.now())
        .bind(id.0)
        .fetch_optional(&mut *self.writer().await)
        .await?;
        let unknown = || CatalogError::unknown("token", &id, "; `n2s token list` shows those there are");
        tokens::token(&row.ok_or_else(unknown)?)
    }
}
