//! Completed → pending, because the copy is missing or wrong.

use n2s_catalog::rows::{Columns as _, int, validation};
use n2s_catalog::{Damage, DamageRecord, DamageScope, ValidationRun, Vouched};
use n2s_domain::{BlobId, ChangesetId};

use super::runs::touch;
use crate::connect::{SqliteCatalog, Tx, begin};
use crate::error::Fail;
use crate::placing::delta;

/// Driven from the partial indexes of what is damaged.
pub(super) const OPEN: &str = "SELECT * FROM (
        SELECT s.blob_id, NULL AS uuid, b.name AS backend, s.damaged_at, s.status = 'pending' AS pending, s.error_message,
            l.staging_id IS NULL AND NOT EXISTS (SELECT 1 FROM blob_backends o
                WHERE o.blob_id = l.id AND o.status = 'completed') AS lost
        FROM blob_backends s JOIN blobs l ON l.id = s.blob_id JOIN backends b ON b.id = s.backend_id
        JOIN projects p ON p.id = l.project_id
        WHERE s.damaged_at IS NOT NULL AND (?1 IS NULL OR p.name = ?1) AND (?3 IS NULL OR b.name = ?3)
          AND (?2 IS NULL
            OR EXISTS (SELECT 1 FROM files f JOIN datasets d ON d.id = f.dataset_id
                       WHERE f.blob_id = l.id AND d.name = ?2)
            OR EXISTS (SELECT 1 FROM file_blobs q JOIN files f ON f.id = q.file_id JOIN datasets d ON d.id = f.dataset_id
                       WHERE q.blob_id = l.id AND d.name = ?2)
            OR EXISTS (SELECT 1 FROM manifest_segments m JOIN manifest_groups g ON g.id = m.group_id
                       JOIN datasets d ON d.id = g.dataset_id WHERE m.blob_id = l.id AND d.name = ?2))
        UNION ALL
        SELECT NULL, c.uuid, b.name, s.damaged_at, s.manifest <> 'failed', s.error_message,
            NOT EXISTS (SELECT 1 FROM manifest_objects o WHERE o.changeset_id = c.id AND o.staging_id IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM changeset_backends o WHERE o.changeset_id = c.id AND o.manifest = 'completed')
        FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id
        JOIN projects p ON p.id = d.project_id JOIN backends b ON b.id = s.backend_id
        WHERE s.damaged_at IS NOT NULL AND (?1 IS NULL OR p.name = ?1) AND (?2 IS NULL OR d.name = ?2)
          AND (?3 IS NULL OR b.name = ?3))
     ORDER BY damaged_at LIMIT ?4";

impl SqliteCatalog {
    pub(super) async fn mark_damaged(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let mut accepted = Vec::with_capacity(damages.len());
        for damage in damages {
            accepted.push(match damage.object {
                Vouched::Blob(blob) => blob_damaged(&mut tx, blob, damage, now).await?,
                Vouched::Manifest(changeset) => manifest_damaged(&mut tx, changeset, damage, now).await?,
            });
        }
        if let Some(run) = run {
            let damaged = accepted.iter().filter(|accepted| **accepted).count() as u64;
            touch(&mut tx, run, (damaged, 0, damaged), now).await?;
        }
        tx.commit().await?;
        Ok(accepted)
    }

    pub(super) async fn open_damages(
        &self,
        scope: &DamageScope,
        limit: u32,
    ) -> Result<Vec<DamageRecord>, Fail> {
        let rows = sqlx::query(OPEN);
        let rows = rows
            .bind(scope.project.as_ref().map(ToString::to_string))
            .bind(scope.dataset.as_ref().map(ToString::to_string))
            .bind(scope.backend.as_ref().map(ToString::to_string))
            .bind(i64::from(limit));
        rows.fetch_all(self.readers()).await?.iter().map(validation::damage).collect()
    }
}

async fn blob_damaged(tx: &mut Tx<'_>, blob: BlobId, damage: &Damage, now: i64) -> Result<bool, Fail> {
    let backend = damage.backend.0;
    let found = sqlx::query(
        "SELECT l.encrypted_size FROM blob_backends s JOIN blobs l ON l.id = s.blob_id
         WHERE s.blob_id = ? AND s.backend_id = ? AND s.status = 'completed' AND l.sealed_hash = ?",
    );
    let found = found.bind(blob.0).bind(backend).bind(damage.sealed_hash.0.to_vec());
    let Some(found) = found.fetch_optional(&mut **tx).await? else { return Ok(false) };
    sqlx::query(
        "UPDATE blob_backends SET status = 'pending', damaged_at = ?3, seen_at = NULL, verified_at = NULL, location = NULL,
            retry_count = 0, lost_count = 0, error_kind = ?4, error_message = ?5
         WHERE blob_id = ?1 AND backend_id = ?2",
    )
    .bind(blob.0)
    .bind(backend)
    .bind(now)
    .bind(damage.kind.as_str())
    .bind(damage.message.clone())
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE backends SET completed = completed - 1, pending = pending + 1, bytes = bytes - ?2 WHERE id = ?1")
        .bind(backend)
        .bind(found.int("encrypted_size")?)
        .execute(&mut **tx)
        .await?;
    call_back(tx, blob.0, backend).await?;
    let waiting = reopen_owners(tx, blob.0, backend).await?;
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id, due_at)
         SELECT 'upload', ?2, l.project_id, coalesce(?3, l.first_seen), l.id, ?4 FROM blobs l WHERE l.id = ?1
         ON CONFLICT DO NOTHING",
    )
    .bind(blob.0)
    .bind(backend)
    .bind(waiting)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO unsourced (blob_id, since) SELECT l.id, ?2 FROM blobs l WHERE l.id = ?1 AND l.staging_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')
         ON CONFLICT DO NOTHING",
    )
    .bind(blob.0)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// Changesets whose own rows reference a blob, on a store they were asked onto.
pub(super) const OWNERS: &str = "SELECT c.id FROM (
        SELECT changeset_id FROM files WHERE blob_id = ?1
        UNION SELECT f.changeset_id FROM file_blobs q JOIN files f ON f.id = q.file_id WHERE q.blob_id = ?1
        UNION SELECT g.changeset_id FROM manifest_segments s JOIN manifest_groups g ON g.id = s.group_id WHERE s.blob_id = ?1) o
     JOIN changesets c ON c.id = o.changeset_id
     JOIN changeset_backends b ON b.changeset_id = c.id AND b.backend_id = ?2
     WHERE c.abandoned_at IS NULL ORDER BY c.id";

/// The changesets whose own rows reference the blob wait for it again. Returns the latest.
async fn reopen_owners(tx: &mut Tx<'_>, blob: i64, backend: i64) -> Result<Option<i64>, Fail> {
    let owners = sqlx::query(OWNERS);
    let mut latest = None;
    for row in owners.bind(blob).bind(backend).fetch_all(&mut **tx).await? {
        let owner: i64 = row.int("id")?;
        let waits = sqlx::query(
            "INSERT INTO placement_waiters (blob_id, backend_id, changeset_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        );
        let waits = waits.bind(blob).bind(backend).bind(owner).execute(&mut **tx).await?.rows_affected();
        if waits > 0 {
            delta(tx, owner, backend, int(waits), 0).await?;
        }
        reopen(tx, owner).await?;
        latest = Some(owner);
    }
    Ok(latest)
}

/// Headers that were to go to the store when all of their versions was there wait again: the folder looks which of them may.
async fn call_back(tx: &mut Tx<'_>, blob: i64, backend: i64) -> Result<(), Fail> {
    let headers = sqlx::query(
        "UPDATE changeset_backends SET manifest = 'waiting' WHERE backend_id = ?2 AND manifest = 'pending' AND changeset_id IN (
            SELECT c.id FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id
            WHERE s.backend_id = ?2 AND s.manifest = 'pending' AND d.project_id = (SELECT project_id FROM blobs WHERE id = ?1))
         RETURNING changeset_id",
    );
    for row in headers.bind(blob).bind(backend).fetch_all(&mut **tx).await? {
        let changeset: i64 = row.int("changeset_id")?;
        sqlx::query("DELETE FROM jobs WHERE kind = 'manifest' AND changeset_id = ? AND backend_id = ?")
            .bind(changeset)
            .bind(backend)
            .execute(&mut **tx)
            .await?;
        delta(tx, changeset, backend, 0, 0).await?;
    }
    Ok(())
}

async fn manifest_damaged(
    tx: &mut Tx<'_>,
    changeset: ChangesetId,
    damage: &Damage,
    now: i64,
) -> Result<bool, Fail> {
    let found = sqlx::query(
        "UPDATE changeset_backends SET manifest = 'pending', damaged_at = ?3, seen_at = NULL, verified_at = NULL, completed_at = NULL,
            retry_count = 0, lost_count = 0, error_kind = ?4, error_message = ?5
         WHERE changeset_id = (SELECT id FROM changesets WHERE uuid = ?1) AND backend_id = ?2 AND manifest = 'completed'
         RETURNING changeset_id",
    );
    let found = found.bind(changeset.0.as_bytes().to_vec()).bind(damage.backend.0).bind(now);
    let found =
        found.bind(damage.kind.as_str()).bind(damage.message.clone()).fetch_optional(&mut **tx).await?;
    let Some(found) = found else { return Ok(false) };
    let id: i64 = found.int("changeset_id")?;
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, due_at)
         SELECT 'manifest', ?2, d.project_id, c.id, ?3 FROM changesets c JOIN datasets d ON d.id = c.dataset_id WHERE c.id = ?1
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(damage.backend.0)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    reopen(tx, id).await?;
    delta(tx, id, damage.backend.0, 0, 0).await?;
    Ok(true)
}

/// A committed changeset begins a new generation: degraded while `min_copies` stores are whole. The one that has lost
/// something is not: it waits for a copy, or for its manifest.
async fn reopen(tx: &mut Tx<'_>, changeset: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changesets SET generation = generation + 1, completed_at = NULL,
            status = CASE
                WHEN committed_at IS NULL OR status = 'pushing' THEN status
                WHEN min_copies <= (SELECT count(*) FROM changeset_backends s WHERE s.changeset_id = ?1
                    AND s.manifest = 'completed' AND s.waiting = 0 AND s.failed = 0
                    -- Not folded yet.
                    AND NOT EXISTS (SELECT 1 FROM completion_deltas d WHERE d.changeset_id = s.changeset_id
                        AND d.backend_id = s.backend_id AND (d.waiting <> 0 OR d.failed <> 0))) THEN 'degraded'
                ELSE 'pushing' END
         WHERE id = ?1",
    )
    .bind(changeset)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
