//! See `n2s_catalog::staging`.

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::rows::{Columns as _, column, staging};
use n2s_catalog::{CatalogError, StagedKey, StagingBook};
use n2s_domain::BlobId;
use sqlx::sqlite::SqliteRow;

use crate::connect::{SqliteCatalog, Tx, begin};
use crate::decode::json;
use crate::error::{Fail, ask};

#[async_trait]
impl StagingBook for SqliteCatalog {
    async fn staged_orphans(&self, keys: &[StagedKey]) -> Result<Vec<StagedKey>, CatalogError> {
        ask!("look for orphans in staging", self.orphans(keys))
    }

    async fn free_unneeded(&self, grace: Duration, limit: u32) -> Result<Vec<StagedKey>, CatalogError> {
        ask!("free staging", self.free(grace, limit))
    }

    async fn free_early(&self, limit: u32) -> Result<Vec<StagedKey>, CatalogError> {
        ask!("relieve staging", self.relieve(limit))
    }

    async fn staging_lost(&self, keys: &[StagedKey]) -> Result<(), CatalogError> {
        ask!("strike out what staging lost", self.strike_lost(keys))
    }

    async fn staged(&self, blob: BlobId) -> Result<Option<StagedKey>, CatalogError> {
        ask!("look for a blob in staging", self.staged_key(blob))
    }

    async fn staged_total(&self) -> Result<(u64, u64), CatalogError> {
        ask!("count what is staged", self.total())
    }
}

impl SqliteCatalog {
    async fn orphans(&self, keys: &[StagedKey]) -> Result<Vec<StagedKey>, Fail> {
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let rows = sqlx::query(
            "SELECT value AS id FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE staging_id = value)
             AND NOT EXISTS (SELECT 1 FROM manifest_objects WHERE staging_id = value)",
        );
        let rows = rows.bind(json(&ids)).fetch_all(self.readers()).await?;
        let orphans = column(&rows, "id")?;
        Ok(keys.iter().filter(|key| orphans.contains(&key.id)).copied().collect())
    }

    async fn free(&self, grace: Duration, limit: u32) -> Result<Vec<StagedKey>, Fail> {
        let before = self.now() - i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = sqlx::query(
            "SELECT l.id, l.sealed_hash, l.staging_id FROM blobs l
             WHERE l.staging_id IS NOT NULL AND l.staged_at < ?1
               AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.blob_id = l.id)
               AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status <> 'completed')
               AND (EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id)
                    OR NOT EXISTS (SELECT 1 FROM files f WHERE f.blob_id = l.id)
                   AND NOT EXISTS (SELECT 1 FROM file_blobs p WHERE p.blob_id = l.id)
                   AND NOT EXISTS (SELECT 1 FROM manifest_segments s WHERE s.blob_id = l.id))
             LIMIT ?2",
        );
        let rows = rows.bind(before).bind(i64::from(limit)).fetch_all(&mut *tx).await?;
        let freed = strike_out(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn relieve(&self, limit: u32) -> Result<Vec<StagedKey>, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = sqlx::query(
            "SELECT l.id, l.sealed_hash, l.staging_id FROM blobs l
             WHERE l.staging_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.blob_id = l.id)
               AND EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')
             LIMIT ?",
        );
        let rows = rows.bind(i64::from(limit)).fetch_all(&mut *tx).await?;
        let freed = strike_out(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn strike_lost(&self, keys: &[StagedKey]) -> Result<(), Fail> {
        let ids = json(&keys.iter().map(|key| key.id).collect::<Vec<_>>());
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        sqlx::query(
            "INSERT INTO unsourced (blob_id, since) SELECT l.id, ?2 FROM json_each(?1) j CROSS JOIN blobs l ON l.staging_id = j.value
             WHERE NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')
             ON CONFLICT DO NOTHING",
        )
        .bind(&ids)
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE blobs SET staging_id = NULL, staged_at = NULL WHERE staging_id IN (SELECT value FROM json_each(?))",
        )
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn staged_key(&self, blob: BlobId) -> Result<Option<StagedKey>, Fail> {
        let row =
            sqlx::query("SELECT sealed_hash, staging_id FROM blobs WHERE id = ? AND staging_id IS NOT NULL");
        let row = row.bind(blob.0).fetch_optional(self.readers()).await?;
        row.as_ref().map(staging::key).transpose()
    }

    async fn total(&self) -> Result<(u64, u64), Fail> {
        let row = sqlx::query(
            "SELECT count(*) AS blobs, coalesce(sum(encrypted_size), 0) AS bytes FROM blobs WHERE staging_id IS NOT NULL",
        );
        let row = row.fetch_one(self.readers()).await?;
        Ok((row.count("blobs")?, row.count("bytes")?))
    }
}

/// Rows of blobs out of staging; the keys of their objects.
async fn strike_out(tx: &mut Tx<'_>, rows: &[SqliteRow]) -> Result<Vec<StagedKey>, Fail> {
    let ids = column(rows, "id")?;
    sqlx::query(
        "UPDATE blobs SET staging_id = NULL, staged_at = NULL WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind(json(&ids))
    .execute(&mut **tx)
    .await?;
    rows.iter().map(staging::key).collect()
}
