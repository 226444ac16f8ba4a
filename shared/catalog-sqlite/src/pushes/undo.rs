//! Giving up a push: its rows go, what it ended is open again, in batches.

use std::time::Duration;

use n2s_catalog::rows::{Columns as _, column};
use n2s_catalog::{CatalogError, PushLease};
use n2s_domain::ChangesetId;
use n2s_failpoints::Point;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::error::Fail;

impl SqliteCatalog {
    pub(super) async fn abandon(
        &self,
        changeset: ChangesetId,
        lease: Option<&PushLease>,
    ) -> Result<(), Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        if let Some(lease) = lease {
            self.hold(&mut tx, lease).await?;
        }
        let done = sqlx::query(
            "UPDATE changesets SET abandoned_at = coalesce(abandoned_at, ?2), lease_token = NULL
             WHERE uuid = ?1 AND committed_at IS NULL",
        );
        let done = done.bind(changeset.0.as_bytes().to_vec()).bind(self.now()).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            let hint = "; only an open push can be abandoned";
            return Err(CatalogError::unknown("changeset", &changeset, hint).into());
        }
        Ok(tx.commit().await?)
    }

    pub(super) async fn abandon_untouched(&self, idle: Duration) -> Result<u64, Fail> {
        let now = self.now();
        let before = now - i64::try_from(idle.as_micros()).unwrap_or(i64::MAX);
        let mut writer = self.writer().await;
        let done = sqlx::query(
            "UPDATE changesets SET abandoned_at = ?, lease_token = NULL
             WHERE committed_at IS NULL AND undone_at IS NULL AND abandoned_at IS NULL AND touched_at < ?",
        );
        Ok(done.bind(now).bind(before).execute(&mut *writer).await?.rows_affected())
    }

    pub(super) async fn undo(&self, limit: u32) -> Result<bool, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let row = sqlx::query(
            "SELECT id, dataset_id, version FROM changesets
             WHERE committed_at IS NULL AND undone_at IS NULL AND abandoned_at IS NOT NULL LIMIT 1",
        );
        let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok(false) };
        let (id, dataset, version): (i64, i64, i64) =
            (row.int("id")?, row.int("dataset_id")?, row.int("version")?);
        let touched = delete_rows(&mut tx, id, dataset, version, limit).await?
            + reopen_rows(&mut tx, dataset, version, limit).await?;
        if touched == 0 {
            finish(&mut tx, id, self.now()).await?;
        }
        commit(tx, Point::UndoStep).await?;
        Ok(true)
    }
}

async fn delete_rows(tx: &mut Tx<'_>, id: i64, dataset: i64, version: i64, limit: u32) -> Result<u64, Fail> {
    let rows = sqlx::query("SELECT id FROM files WHERE dataset_id = ? AND from_version = ? LIMIT ?");
    let rows = rows.bind(dataset).bind(version).bind(i64::from(limit)).fetch_all(&mut **tx).await?;
    let ids = column(&rows, "id")?;
    let list = crate::decode::json(&ids);
    sqlx::query(
        "DELETE FROM placement_waiters WHERE changeset_id = ?2 AND blob_id IN (
            SELECT f.blob_id FROM json_each(?1) j CROSS JOIN files f ON f.id = j.value WHERE f.blob_id IS NOT NULL
            UNION SELECT p.blob_id FROM json_each(?1) j CROSS JOIN file_blobs p ON p.file_id = j.value)",
    )
    .bind(&list)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    let done = sqlx::query("DELETE FROM files WHERE id IN (SELECT value FROM json_each(?))");
    Ok(done.bind(&list).execute(&mut **tx).await?.rows_affected())
}

async fn reopen_rows(tx: &mut Tx<'_>, dataset: i64, version: i64, limit: u32) -> Result<u64, Fail> {
    let done = sqlx::query(
        "UPDATE files SET to_version = NULL
         WHERE id IN (SELECT id FROM files WHERE dataset_id = ? AND to_version = ? LIMIT ?)",
    );
    Ok(done.bind(dataset).bind(version).bind(i64::from(limit)).execute(&mut **tx).await?.rows_affected())
}

/// Nothing of the push is left but its row.
async fn finish(tx: &mut Tx<'_>, id: i64, now: i64) -> Result<(), Fail> {
    for statement in [
        "DELETE FROM placement_waiters WHERE changeset_id = ?1 AND blob_id IN (
            SELECT s.blob_id FROM manifest_segments s JOIN manifest_groups g ON g.id = s.group_id WHERE g.changeset_id = ?1)",
        "DELETE FROM manifest_groups WHERE changeset_id = ?1",
        "DELETE FROM pins WHERE changeset_id = ?1",
        "DELETE FROM push_batches WHERE changeset_id = ?1",
        "DELETE FROM completion_deltas WHERE changeset_id = ?1",
        "DELETE FROM changeset_backends WHERE changeset_id = ?1",
    ] {
        sqlx::query(statement).bind(id).execute(&mut **tx).await?;
    }
    sqlx::query("UPDATE changesets SET undone_at = ?2, status = 'failed', error = 'abandoned before commit' WHERE id = ?1")
        .bind(id)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
