//! See `n2s_catalog::tokens`.

use async_trait::async_trait;
use n2s_catalog::{CatalogError, NewToken, TokenHash, TokenRecord, Tokens};
use n2s_domain::{Grants, Timestamp, TokenId};
use sqlx::sqlite::SqliteRow;

use crate::connect::SqliteCatalog;
use crate::decode::{col, json, time, time_opt};
use crate::error::{At as _, Fail};

#[async_trait]
impl Tokens for SqliteCatalog {
    async fn add_token(&self, token: &NewToken) -> Result<TokenRecord, CatalogError> {
        self.add(token).await.at("keep a token")
    }

    async fn valid_token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, CatalogError> {
        self.valid(hash).await.at("look a token up")
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError> {
        self.all_tokens().await.at("list tokens")
    }

    async fn revoke_token(&self, id: TokenId) -> Result<TokenRecord, CatalogError> {
        self.revoke(id).await.at("revoke a token")
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
        record(&row)
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
        row.as_ref().map(record).transpose()
    }

    async fn all_tokens(&self) -> Result<Vec<TokenRecord>, Fail> {
        let rows = sqlx::query("SELECT * FROM api_tokens ORDER BY id DESC").fetch_all(self.readers()).await?;
        rows.iter().map(record).collect()
    }

    async fn revoke(&self, id: TokenId) -> Result<TokenRecord, Fail> {
        let row = sqlx::query(
            "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING *",
        )
        .bind(self.now())
        .bind(id.0)
        .fetch_optional(&mut *self.writer().await)
        .await?;
        let hint = "; `n2s token list` shows those there are".to_owned();
        let unknown = CatalogError::Unknown { what: "token", name: id.to_string(), hint };
        record(&row.ok_or(unknown)?)
    }
}

fn record(row: &SqliteRow) -> Result<TokenRecord, Fail> {
    let damaged = |column| CatalogError::Inconsistent {
        table: "api_tokens",
        column,
        row: col::<i64>(row, "id").map(|id| id.to_string()).unwrap_or_default(),
    };
    let scopes = serde_json::from_str(col(row, "scopes")?).map_err(|_| damaged("scopes"))?;
    let projects = col::<Option<&str>>(row, "projects")?.map(serde_json::from_str).transpose();
    Ok(TokenRecord {
        id: TokenId(col(row, "id")?),
        name: col(row, "name")?,
        grants: Grants { scopes, projects: projects.map_err(|_| damaged("projects"))? },
        created_at: time(row, "created_at")?,
        expires_at: time_opt(row, "expires_at")?,
        revoked_at: time_opt(row, "revoked_at")?,
    })
}
