//! See `n2s_catalog::operate`.

use async_trait::async_trait;
use n2s_catalog::rows::operate::{self, Again};
use n2s_catalog::rows::pairs;
use n2s_catalog::{CatalogError, FailedFilter, FailedUpload, Operate, Page, Retried};
use n2s_domain::{ChangesetId, FailureKind};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx};
use crate::error::{Fail, ask, transact};
use crate::placing::{delta, next_generation, rearm, uploads_again};

#[async_trait]
impl Operate for PostgresCatalog {
    async fn failed_uploads(
        &self,
        filter: &FailedFilter,
        page: &Page<String>,
    ) -> Result<Vec<FailedUpload>, CatalogError> {
        ask!(self, "list failed uploads", self.failures(filter, page))
    }

    async fn retry_failed(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, CatalogError> {
        transact!(self, "retry failed uploads", self.retry(filter, limit))
    }

    async fn cancel(&self, changeset: ChangesetId, limit: u32) -> Result<u64, CatalogError> {
        transact!(self, "cancel a changeset", self.give_up(changeset, limit))
    }
}

/// Failed placements, then failed manifests, each from the end of the page before and by their index: after an outage there are many more
/// failures than a page holds. What is said of its rows is looked up when a page is cut, unless the filter depends on that.
const FAILURES: &str = "
    SELECT u.key, b.name AS backend, u.backend_id, p.name AS project, u.blob_id, u.changeset_id, l.content_hash,
        coalesce(l.sealed_hash, o.sealed_hash) AS sealed_hash, u.error_kind, u.error_message, u.retry_count, u.attempted_at,
        d.name AS dataset, f.filepath
    FROM (
        (SELECT 'b' || s.blob_id || '.' || s.backend_id AS key, s.backend_id, s.blob_id, NULL::bigint AS changeset_id,
            s.error_kind, s.error_message, s.retry_count, s.attempted_at
        FROM blob_backends s
        WHERE s.status = 'failed' AND (s.blob_id, s.backend_id) > ($6::bigint, $7::bigint)
          AND ($3::text IS NULL OR s.backend_id = (SELECT id FROM backends WHERE name = $3)) AND ($4::text IS NULL OR s.error_kind = $4)
          AND ($5::uuid IS NULL OR EXISTS (SELECT 1 FROM placement_waiters w JOIN changesets c ON c.id = w.changeset_id
            WHERE w.blob_id = s.blob_id AND w.backend_id = s.backend_id AND c.uuid = $5 OFFSET 0))
        ORDER BY s.blob_id, s.backend_id LIMIT $11)
        UNION ALL
        (SELECT 'm' || s.changeset_id || '.' || s.backend_id, s.backend_id, NULL, s.changeset_id,
            s.error_kind, s.error_message, s.retry_count, s.attempted_at
        FROM changeset_backends s
        WHERE s.manifest = 'failed' AND (s.changeset_id, s.backend_id) > ($8::bigint, $9::bigint)
          AND ($3::text IS NULL OR s.backend_id = (SELECT id FROM backends WHERE name = $3)) AND ($4::text IS NULL OR s.error_kind = $4)
          AND ($5::uuid IS NULL OR s.changeset_id = (SELECT id FROM changesets WHERE uuid = $5))
        ORDER BY s.changeset_id, s.backend_id LIMIT $11)) u
    JOIN backends b ON b.id = u.backend_id
    LEFT JOIN blobs l ON l.id = u.blob_id
    LEFT JOIN changesets c ON c.id = u.changeset_id
    LEFT JOIN manifest_objects o ON o.changeset_id = u.changeset_id AND o.part = 'header'
    LEFT JOIN files f ON f.id = coalesce(
        (SELECT max(x.id) FROM files x WHERE x.blob_id = u.blob_id),
        (SELECT max(q.file_id) FROM file_blobs q WHERE q.blob_id = u.blob_id))
    LEFT JOIN datasets d ON d.id = coalesce(c.dataset_id, f.dataset_id)
    JOIN projects p ON p.id = coalesce(l.project_id, d.project_id)
    WHERE ($1::text IS NULL OR p.name = $1) AND ($2::text IS NULL OR d.name = $2)
    ORDER BY u.changeset_id NULLS FIRST, u.blob_id, u.backend_id LIMIT $10";

async fn select(
    connection: &mut PgConnection,
    filter: &FailedFilter,
    page: &Page<String>,
) -> Result<Vec<PgRow>, Fail> {
    let limit = i64::from(page.limit);
    let cut = filter.project.is_none() && filter.dataset.is_none();
    let After { placement, manifest } = after(page.after.as_deref())?;
    let query = sqlx::query(FAILURES)
        .bind(filter.project.as_ref().map(ToString::to_string))
        .bind(filter.dataset.as_ref().map(ToString::to_string))
        .bind(filter.backend.as_ref().map(ToString::to_string))
        .bind(filter.kind.map(FailureKind::as_str))
        .bind(filter.changeset.map(|id| id.0))
        .bind(placement.0)
        .bind(placement.1)
        .bind(manifest.0)
        .bind(manifest.1)
        .bind(limit)
        .bind(cut.then_some(limit));
    Ok(query.fetch_all(connection).await?)
}

/// Where a page begins.
struct After {
    /// Blob and store.
    placement: (i64, i64),
    /// Changeset and store.
    manifest: (i64, i64),
}

/// Once a page ended among the manifests, placements are through.
fn after(key: Option<&str>) -> Result<After, CatalogError> {
    const FIRST: (i64, i64) = (0, 0);
    let Some(key) = key else { return Ok(After { placement: FIRST, manifest: FIRST }) };
    let numbers = key.get(1..).and_then(|rest| rest.split_once('.'));
    let numbers = numbers.and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
    match (key.as_bytes().first(), numbers) {
        (Some(b'b'), Some(placement)) => Ok(After { placement, manifest: FIRST }),
        (Some(b'm'), Some(manifest)) => Ok(After { placement: (i64::MAX, i64::MAX), manifest }),
        _ => Err(CatalogError::Unknown {
            what: "page",
            name: key.to_owned(),
            hint: "; a page begins after the `key` of the last row of the one before".to_owned(),
        }),
    }
}

impl PostgresCatalog {
    async fn failures(&self, filter: &FailedFilter, page: &Page<String>) -> Result<Vec<FailedUpload>, Fail> {
        let mut connection = self.link().await?;
        select(&mut connection, filter, page).await?.iter().map(operate::failed).collect()
    }

    async fn retry(&self, filter: &FailedFilter, limit: u32) -> Result<Retried, Fail> {
        let mut tx = self.begin().await?;
        let rows = select(&mut tx, filter, &Page { after: None, limit }).await?;
        let (mut placements, mut manifests) = (Vec::new(), Vec::new());
        for row in &rows {
            match operate::again(row)? {
                Again::Placement(blob, backend) => placements.push((blob, backend)),
                Again::Manifest(changeset, backend) => manifests.push((changeset, backend)),
            }
        }
        let placements = still_failed(&mut tx, &placements).await?;
        let mut retried = Retried { placements: rearm(&mut tx, &placements).await?, manifests: 0 };
        uploads_again(&mut tx, &placements).await?;
        manifests.sort_unstable();
        for (changeset, backend) in manifests {
            retried.manifests += u64::from(manifest_again(&mut tx, changeset, backend).await?);
        }
        tx.commit().await?;
        Ok(retried)
    }
}

/// Locks placements in order; another retry may have been faster with some.
async fn still_failed(tx: &mut Tx, placements: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, Fail> {
    let (blobs, backends): (Vec<i64>, Vec<i64>) = placements.iter().copied().unzip();
    let rows = sqlx::query(
        "SELECT s.blob_id, s.backend_id FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
         JOIN blob_backends s ON s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'failed'
         ORDER BY s.blob_id, s.backend_id FOR NO KEY UPDATE OF s",
    );
    let rows = rows.bind(blobs).bind(backends).fetch_all(&mut **tx).await?;
    pairs(&rows, ["blob_id", "backend_id"])
}

/// The folder makes the job again. False when somebody else has set it going.
async fn manifest_again(tx: &mut Tx, changeset: i64, backend: i64) -> Result<bool, Fail> {
    let again = sqlx::query(
        "UPDATE changeset_backends SET manifest = 'waiting', retry_count = 0, error_kind = NULL, error_message = NULL
         WHERE changeset_id = $1 AND backend_id = $2 AND manifest = 'failed'",
    );
    if again.bind(changeset).bind(backend).execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    next_generation(tx, changeset).await?;
    delta(tx, changeset, backend, 0, 0).await?;
    Ok(true)
}
