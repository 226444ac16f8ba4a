//! Giving up what a changeset still waits for, and nobody else does.

use n2s_catalog::rows::{Columns as _, column, pairs};
use n2s_domain::{ChangesetId, FailureKind};
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx};
use crate::error::Fail;
use crate::jobs::{FailedUpload, fail_uploads};
use crate::staging::lock_blobs;

impl PostgresCatalog {
    /// Locks jobs, then their blobs, then placements. Whoever waits for a placement as well said so under the blob's lock, so it is asked
    /// about after taking that.
    pub(crate) async fn give_up(&self, changeset: ChangesetId, limit: u32) -> Result<u64, Fail> {
        // Says so when there is none.
        self.one_changeset(changeset).await?;
        let mut tx = self.begin().await?;
        let jobs = lock_jobs(&mut tx, changeset, limit).await?;
        let (ids, blobs): (Vec<i64>, Vec<i64>) = jobs.into_iter().unzip();
        lock_blobs(&mut tx, &blobs).await?;
        let rows = sqlx::query(
            "SELECT j.id, s.blob_id, s.backend_id FROM jobs j
             JOIN blob_backends s ON s.blob_id = j.blob_id AND s.backend_id = j.backend_id AND s.status = 'pending'
             WHERE j.id = ANY ($1) AND NOT EXISTS (SELECT 1 FROM placement_waiters o JOIN changesets c ON c.id = o.changeset_id
                WHERE o.blob_id = s.blob_id AND o.backend_id = s.backend_id AND c.uuid <> $2)
             ORDER BY s.blob_id, s.backend_id FOR NO KEY UPDATE OF s",
        );
        let rows = rows.bind(ids).bind(changeset.0).fetch_all(&mut *tx).await?;
        let upload = |row: &PgRow| {
            Ok(FailedUpload {
                blob: row.int("blob_id")?,
                backend: row.int("backend_id")?,
                kind: FailureKind::Cancelled,
                words: "cancelled by an operator".to_owned(),
                charged: false,
            })
        };
        let uploads = rows.iter().map(upload).collect::<Result<Vec<_>, Fail>>()?;
        fail_uploads(&mut tx, &uploads).await?;
        let ended = column(&rows, "id")?;
        sqlx::query("DELETE FROM jobs WHERE id = ANY ($1)").bind(ended).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(uploads.len() as u64)
    }
}

/// Jobs that no worker is at, of placements that only this changeset waits for, with their blobs. A worker that is at one ends it, one way or
/// the other.
async fn lock_jobs(tx: &mut Tx, changeset: ChangesetId, limit: u32) -> Result<Vec<(i64, i64)>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.blob_id FROM changesets c JOIN placement_waiters w ON w.changeset_id = c.id
         JOIN jobs j ON j.kind = 'upload' AND j.blob_id = w.blob_id AND j.backend_id = w.backend_id AND j.state < 2
         WHERE c.uuid = $1 AND NOT EXISTS (SELECT 1 FROM placement_waiters o
            WHERE o.blob_id = w.blob_id AND o.backend_id = w.backend_id AND o.changeset_id <> c.id)
         ORDER BY j.id LIMIT $2 FOR NO KEY UPDATE OF j",
    );
    let rows = rows.bind(changeset.0).bind(i64::from(limit)).fetch_all(&mut **tx).await?;
    pairs(&rows, ["id", "blob_id"])
}
