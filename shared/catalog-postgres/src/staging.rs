//! See `n2s_catalog::staging`. What leaves staging does so under its blob's row lock, which pins and placements are made under, too.

use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::rows::{Columns as _, column, staging};
use n2s_catalog::{CatalogError, StagedKey, StagingBook};
use n2s_domain::BlobId;
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx};
use crate::decode::micros;
use crate::error::{Fail, ask, transact};

#[async_trait]
impl StagingBook for PostgresCatalog {
    async fn staged_orphans(&self, keys: &[StagedKey]) -> Result<Vec<StagedKey>, CatalogError> {
        ask!(self, "look for orphans in staging", self.orphans(keys))
    }

    async fn free_unneeded(&self, grace: Duration, limit: u32) -> Result<Vec<StagedKey>, CatalogError> {
        transact!(self, "free staging", self.free(grace, limit))
    }

    async fn free_early(&self, limit: u32) -> Result<Vec<StagedKey>, CatalogError> {
        transact!(self, "relieve staging", self.relieve(limit))
    }

    async fn staging_lost(&self, keys: &[StagedKey]) -> Result<(), CatalogError> {
        transact!(self, "strike out what staging lost", self.strike_lost(keys))
    }

    async fn staged(&self, blob: BlobId) -> Result<Option<StagedKey>, CatalogError> {
        ask!(self, "look for a blob in staging", self.staged_key(blob))
    }

    async fn staged_total(&self) -> Result<(u64, u64), CatalogError> {
        ask!(self, "count what is staged", self.total())
    }
}

/// Nothing needs the staged copy: no pin, nothing unfinished, and either a copy elsewhere or no row that refers to it. `OFFSET 0` has each blob
/// looked at by itself: of joins with what seems to be empty, the planner may read all pins for every blob.
const UNNEEDED: &str = "
    SELECT l.id, l.sealed_hash, l.staging_id FROM blobs l
    WHERE l.staging_id IS NOT NULL AND l.staged_at < n2s_now() - $1::bigint * interval '1 microsecond'
      AND ($3::bigint[] IS NULL OR l.id = ANY ($3))
      AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.blob_id = l.id OFFSET 0)
      AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status <> 'completed' OFFSET 0)
      AND (EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id OFFSET 0)
           OR NOT EXISTS (SELECT 1 FROM files f WHERE f.blob_id = l.id OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM file_blobs p WHERE p.blob_id = l.id OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM manifest_segments s WHERE s.blob_id = l.id OFFSET 0))
    ORDER BY l.staged_at LIMIT $2";

/// A store has a copy, from which the others can read.
const STORED_ONCE: &str = "
    SELECT l.id, l.sealed_hash, l.staging_id FROM blobs l
    WHERE l.staging_id IS NOT NULL AND l.staged_at <= n2s_now() - $1::bigint * interval '1 microsecond'
      AND ($3::bigint[] IS NULL OR l.id = ANY ($3))
      AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.blob_id = l.id OFFSET 0)
      AND EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed' OFFSET 0)
    ORDER BY l.staged_at LIMIT $2";

impl PostgresCatalog {
    async fn orphans(&self, keys: &[StagedKey]) -> Result<Vec<StagedKey>, Fail> {
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let rows = sqlx::query(
            "SELECT j.id FROM unnest($1::bigint[]) j (id) WHERE NOT EXISTS (SELECT 1 FROM blobs l WHERE l.staging_id = j.id)
             AND NOT EXISTS (SELECT 1 FROM manifest_objects o WHERE o.staging_id = j.id)",
        );
        let rows = rows.bind(ids).fetch_all(&mut *self.link().await?).await?;
        let orphans = column(&rows, "id")?;
        Ok(keys.iter().filter(|key| orphans.contains(&key.id)).copied().collect())
    }

    async fn free(&self, grace: Duration, limit: u32) -> Result<Vec<StagedKey>, Fail> {
        self.strike_out(UNNEEDED, micros(grace), limit).await
    }

    async fn relieve(&self, limit: u32) -> Result<Vec<StagedKey>, Fail> {
        self.strike_out(STORED_ONCE, 0, limit).await
    }

    /// Candidates are looked for without locks, then looked at again under them.
    async fn strike_out(&self, sql: &'static str, grace: i64, limit: u32) -> Result<Vec<StagedKey>, Fail> {
        let mut tx = self.begin().await?;
        let look = |among: Option<Vec<i64>>| sqlx::query(sql).bind(grace).bind(i64::from(limit)).bind(among);
        let rows = look(None).fetch_all(&mut *tx).await?;
        let candidates = column(&rows, "id")?;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        lock_blobs(&mut tx, &candidates).await?;
        let rows = look(Some(candidates)).fetch_all(&mut *tx).await?;
        let freed = unstage(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn strike_lost(&self, keys: &[StagedKey]) -> Result<(), Fail> {
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let mut tx = self.begin().await?;
        sqlx::query("SELECT id FROM blobs WHERE staging_id = ANY ($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(&ids)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO unsourced (blob_id) SELECT l.id FROM blobs l WHERE l.staging_id = ANY ($1)
             AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')
             ORDER BY l.id ON CONFLICT DO NOTHING",
        )
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE blobs SET staging_id = NULL, staged_at = NULL WHERE staging_id = ANY ($1)")
            .bind(&ids)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    async fn staged_key(&self, blob: BlobId) -> Result<Option<StagedKey>, Fail> {
        let row = sqlx::query(
            "SELECT sealed_hash, staging_id FROM blobs WHERE id = $1 AND num_nulls(staging_id) = 0",
        );
        let row = row.bind(blob.0).fetch_optional(&mut *self.link().await?).await?;
        row.as_ref().map(staging::key).transpose()
    }

    async fn total(&self) -> Result<(u64, u64), Fail> {
        let row = sqlx::query(
            "SELECT count(*) AS blobs, coalesce(sum(encrypted_size), 0)::bigint AS bytes FROM blobs WHERE staging_id IS NOT NULL",
        );
        let row = row.fetch_one(&mut *self.link().await?).await?;
        Ok((row.count("blobs")?, row.count("bytes")?))
    }
}

/// Locks blobs, in order.
pub(crate) async fn lock_blobs(tx: &mut Tx, blobs: &[i64]) -> Result<(), Fail> {
    let lock = sqlx::query("SELECT id FROM blobs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE");
    lock.bind(blobs).execute(&mut **tx).await?;
    Ok(())
}

/// Strikes locked blobs out; rows have `id`, `sealed_hash` and `staging_id`.
pub(crate) async fn unstage(tx: &mut Tx, rows: &[PgRow]) -> Result<Vec<StagedKey>, Fail> {
    let ids = column(rows, "id")?;
    if !ids.is_empty() {
        sqlx::query("UPDATE blobs SET staging_id = NULL, staged_at = NULL WHERE id = ANY ($1)")
            .bind(ids)
            .execute(&mut **tx)
            .await?;
    }
    rows.iter().map(staging::key).collect()
}
