//! See `n2s_catalog::operate`.

use async_trait::async_trait;
use n2s_catalog::rows::Columns as _;
use n2s_catalog::rows::operate::{self, Again};
use n2s_catalog::{CatalogError, FailedFilter, FailedUpload, Operate, Page, Retried};
use n2s_domain::{ChangesetId, FailureKind};
use sqlx::sqlite::SqliteRow;

use crate::connect::{SqliteCatalog, Tx, begin};
use crate::decode::json;
use crate::error::{Fail, ask};
use crate::jobs::fail_uploads;
use crate::placing::{delta, next_generation, rearm, upload_again};

#[async_trait]
impl Operate for SqliteCatalog {
    async fn failed_uploads(
        &self,
        filter: &FailedFilter,
        page: &Page<String>,
    ) -> Result<Vec<FailedUpload>, CatalogError> {
        ask!("list failed uploads", self.failures(filter, page))
    }

    async fn retry_failed(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, CatalogError> {
        ask!("retry failed uploads", self.retry(filter, limit))
    }

    async fn cancel(&self, changeset: ChangesetId, limit: u32) -> Result<u64, CatalogError> {
        ask!("cancel a changeset", self.give_up(changeset, limit))
    }
}

/// Failed placements and manifests under one roof; `key` orders and pages.
const FAILURES: &str = "
    SELECT * FROM (
        SELECT 'b' || s.blob_id || '.' || s.backend_id AS key, b.name AS backend, b.id AS backend_id, p.name AS project,
            s.blob_id, NULL AS changeset_id, l.content_hash, l.sealed_hash, s.error_kind, s.error_message, s.retry_count,
            s.attempted_at,
            (SELECT d.name FROM files f JOIN datasets d ON d.id = f.dataset_id WHERE f.id = u.file_id) AS dataset,
            (SELECT f.filepath FROM files f WHERE f.id = u.file_id) AS filepath
        FROM blob_backends s JOIN backends b ON b.id = s.backend_id JOIN blobs l ON l.id = s.blob_id
        JOIN projects p ON p.id = l.project_id
        LEFT JOIN (SELECT x.blob_id AS of_blob, coalesce(
                (SELECT max(f.id) FROM files f WHERE f.blob_id = x.blob_id),
                (SELECT max(q.file_id) FROM file_blobs q WHERE q.blob_id = x.blob_id)) AS file_id
            FROM blob_backends x WHERE x.status = 'failed' GROUP BY x.blob_id) u ON u.of_blob = s.blob_id
        WHERE s.status = 'failed' AND (?5 IS NULL OR EXISTS (SELECT 1 FROM placement_waiters w
            JOIN changesets c ON c.id = w.changeset_id WHERE w.blob_id = s.blob_id AND w.backend_id = s.backend_id AND c.uuid = ?5))
        UNION ALL
        SELECT 'm' || s.changeset_id || '.' || s.backend_id, b.name, b.id, p.name, NULL, s.changeset_id, NULL, o.sealed_hash,
            s.error_kind, s.error_message, s.retry_count, s.attempted_at, d.name, NULL
        FROM changeset_backends s JOIN backends b ON b.id = s.backend_id JOIN changesets c ON c.id = s.changeset_id
        JOIN datasets d ON d.id = c.dataset_id JOIN projects p ON p.id = d.project_id
        JOIN manifest_objects o ON o.changeset_id = c.id AND o.part = 'header'
        WHERE s.manifest = 'failed' AND (?5 IS NULL OR c.uuid = ?5))
    WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR dataset = ?2) AND (?3 IS NULL OR backend = ?3)
      AND (?4 IS NULL OR error_kind = ?4) AND (?6 IS NULL OR key > ?6)
    ORDER BY key LIMIT ?7";

impl SqliteCatalog {
    async fn select(
        &self,
        tx: Option<&mut Tx<'_>>,
        filter: &FailedFilter,
        page: &Page<String>,
    ) -> Result<Vec<SqliteRow>, Fail> {
        let query = sqlx::query(FAILURES)
            .bind(filter.project.as_ref().map(ToString::to_string))
            .bind(filter.dataset.as_ref().map(ToString::to_string))
            .bind(filter.backend.as_ref().map(ToString::to_string))
            .bind(filter.kind.map(FailureKind::as_str))
            .bind(filter.changeset.map(|id| id.0.as_bytes().to_vec()))
            .bind(page.after.clone())
            .bind(i64::from(page.limit));
        Ok(match tx {
            Some(tx) => query.fetch_all(&mut **tx).await?,
            None => query.fetch_all(self.readers()).await?,
        })
    }

    async fn failures(&self, filter: &FailedFilter, page: &Page<String>) -> Result<Vec<FailedUpload>, Fail> {
        self.select(None, filter, page).await?.iter().map(operate::failed).collect()
    }

    async fn retry(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = self.select(Some(&mut tx), filter, &Page { after: None, limit }).await?;
        let mut retried = Retried::default();
        for row in &rows {
            match operate::again(row)? {
                Again::Placement(blob, backend) => {
                    retried.placements += rearm(&mut tx, &json(&[blob]), backend, now).await?;
                    upload_again(&mut tx, blob, backend, now).await?;
                }
                Again::Manifest(changeset, backend) => {
                    manifest_again(&mut tx, changeset, backend).await?;
                    retried.manifests += 1;
                }
            }
        }
        tx.commit().await?;
        Ok(retried)
    }
}

impl SqliteCatalog {
    async fn give_up(&self, changeset: ChangesetId, limit: u32) -> Result<u64, Fail> {
        // Says so when there is none.
        self.one_changeset(changeset).await?;
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = sqlx::query(
            "SELECT j.id, w.blob_id, w.backend_id FROM changesets c
             JOIN placement_waiters w ON w.changeset_id = c.id
             JOIN blob_backends s ON s.blob_id = w.blob_id AND s.backend_id = w.backend_id AND s.status = 'pending'
             JOIN jobs j ON j.kind = 'upload' AND j.blob_id = w.blob_id AND j.backend_id = w.backend_id
             WHERE c.uuid = ?1
               -- A worker that is at it ends it, one way or the other.
               AND j.state < 2
               AND NOT EXISTS (SELECT 1 FROM placement_waiters o
                    WHERE o.blob_id = w.blob_id AND o.backend_id = w.backend_id AND o.changeset_id <> c.id)
             LIMIT ?2",
        )
        .bind(changeset.0.as_bytes().to_vec())
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        let kind = FailureKind::Cancelled.as_str();
        let (mut jobs, mut uploads) = (Vec::new(), Vec::new());
        for row in &rows {
            let (blob, backend): (i64, i64) = (row.int("blob_id")?, row.int("backend_id")?);
            jobs.push(row.int("id")?);
            uploads.push(serde_json::json!([blob, backend, kind, "cancelled by an operator", 0]));
        }
        fail_uploads(&mut tx, &uploads, now).await?;
        sqlx::query("DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))")
            .bind(json(&jobs))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(uploads.len() as u64)
    }
}

/// The folder makes the job again.
async fn manifest_again(tx: &mut Tx<'_>, changeset: i64, backend: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changeset_backends SET manifest = 'waiting', retry_count = 0, error_kind = NULL, error_message = NULL
         WHERE changeset_id = ? AND backend_id = ?",
    )
    .bind(changeset)
    .bind(backend)
    .execute(&mut **tx)
    .await?;
    next_generation(tx, changeset).await?;
    delta(tx, changeset, backend, 0, 0).await
}
