//! Giving up a push: its rows go, what it ended is open again, in batches.

use std::time::Duration;

use n2s_catalog::rows::{Columns as _, column};
use n2s_catalog::{CatalogError, PushLease};
use n2s_domain::ChangesetId;

use crate::connect::{PostgresCatalog, Tx};
use crate::decode::micros;
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn abandon(
        &self,
        changeset: ChangesetId,
        lease: Option<&PushLease>,
    ) -> Result<(), Fail> {
        let mut tx = self.begin().await?;
        if let Some(lease) = lease {
            self.hold(&mut tx, lease).await?;
        }
        let done = sqlx::query(
            "UPDATE changesets SET abandoned_at = coalesce(abandoned_at, n2s_now()), lease_token = NULL
             WHERE uuid = $1 AND committed_at IS NULL",
        );
        let done = done.bind(changeset.0).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            let hint = "; only an open push can be abandoned";
            return Err(CatalogError::unknown("changeset", &changeset, hint).into());
        }
        tx.commit().await
    }

    pub(super) async fn abandon_untouched(&self, idle: Duration) -> Result<u64, Fail> {
        let done = sqlx::query(
            "UPDATE changesets SET abandoned_at = n2s_now(), lease_token = NULL
             WHERE committed_at IS NULL AND undone_at IS NULL AND abandoned_at IS NULL
               AND touched_at < n2s_now() - $1::bigint * interval '1 microsecond'",
        );
        Ok(done.bind(micros(idle)).execute(&mut *self.link().await?).await?.rows_affected())
    }

    pub(super) async fn undo(&self, limit: u32) -> Result<bool, Fail> {
        let next = sqlx::query(
            "SELECT id FROM changesets WHERE committed_at IS NULL AND undone_at IS NULL AND abandoned_at IS NOT NULL
             ORDER BY id LIMIT 1",
        );
        let Some(next) = next.fetch_optional(&mut *self.link().await?).await? else { return Ok(false) };
        let mut tx = self.begin().await?;
        // Waited for, not passed by: "nothing left to undo" must not mean that somebody happened to look at the row.
        let row = sqlx::query(
            "SELECT id, dataset_id, version FROM changesets WHERE id = $1 AND undone_at IS NULL FOR NO KEY UPDATE",
        );
        let row = row.bind(next.int("id")?).fetch_optional(&mut *tx).await?;
        // Another sweeper ended it; there may be more.
        let Some(row) = row else { return Ok(true) };
        let (id, dataset, version): (i64, i64, i64) =
            (row.int("id")?, row.int("dataset_id")?, row.int("version")?);
        let touched = delete_rows(&mut tx, id, dataset, version, limit).await?
            + reopen_rows(&mut tx, dataset, version, limit).await?;
        if touched == 0 {
            finish(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

async fn delete_rows(tx: &mut Tx, id: i64, dataset: i64, version: i64, limit: u32) -> Result<u64, Fail> {
    let rows = sqlx::query("SELECT id FROM files WHERE dataset_id = $1 AND from_version = $2 LIMIT $3");
    let rows = rows.bind(dataset).bind(version).bind(i64::from(limit)).fetch_all(&mut **tx).await?;
    let ids = column(&rows, "id")?;
    sqlx::query(
        "DELETE FROM placement_waiters WHERE changeset_id = $2 AND blob_id IN (
            SELECT f.blob_id FROM files f WHERE f.id = ANY ($1) AND f.blob_id IS NOT NULL
            UNION SELECT p.blob_id FROM file_blobs p WHERE p.file_id = ANY ($1))",
    )
    .bind(&ids)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    let done = sqlx::query("DELETE FROM files WHERE id = ANY ($1)");
    Ok(done.bind(ids).execute(&mut **tx).await?.rows_affected())
}

async fn reopen_rows(tx: &mut Tx, dataset: i64, version: i64, limit: u32) -> Result<u64, Fail> {
    let done = sqlx::query(
        "UPDATE files SET to_version = NULL
         WHERE id IN (SELECT id FROM files WHERE dataset_id = $1 AND to_version = $2 LIMIT $3)",
    );
    Ok(done.bind(dataset).bind(version).bind(i64::from(limit)).execute(&mut **tx).await?.rows_affected())
}

/// Nothing of the push is left but its row.
async fn finish(tx: &mut Tx, id: i64) -> Result<(), Fail> {
    for statement in [
        "DELETE FROM placement_waiters WHERE changeset_id = $1 AND blob_id IN (
            SELECT s.blob_id FROM manifest_segments s JOIN manifest_groups g ON g.id = s.group_id WHERE g.changeset_id = $1)",
        "DELETE FROM manifest_groups WHERE changeset_id = $1",
        "DELETE FROM pins WHERE changeset_id = $1",
        "DELETE FROM push_batches WHERE changeset_id = $1",
        "DELETE FROM completion_deltas WHERE changeset_id = $1",
        "DELETE FROM changeset_backends WHERE changeset_id = $1",
        "UPDATE changesets SET undone_at = n2s_now(), status = 'failed', error = 'abandoned before commit' WHERE id = $1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut **tx).await?;
    }
    Ok(())
}
