//! Completed → pending, because the copy is missing or wrong.

use std::collections::BTreeMap;

use n2s_catalog::rows::{Columns as _, int, validation};
use n2s_catalog::{Damage, DamageRecord, DamageScope, ValidationRun, Vouched};
use n2s_domain::{BlobId, ChangesetId};

use super::runs::touch;
use crate::connect::{PostgresCatalog, Tx};
use crate::decode::text;
use crate::error::Fail;
use crate::placing::delta;
use crate::staging::lock_blobs;

/// Driven from the partial indexes of what is damaged.
const OPEN: &str = "SELECT * FROM (
        SELECT s.blob_id, NULL::uuid AS uuid, b.name AS backend, s.damaged_at, s.status = 'pending' AS pending, s.error_message,
            l.staging_id IS NULL AND NOT EXISTS (SELECT 1 FROM blob_backends o
                WHERE o.blob_id = l.id AND o.status = 'completed') AS lost
        FROM blob_backends s JOIN blobs l ON l.id = s.blob_id JOIN backends b ON b.id = s.backend_id
        JOIN projects p ON p.id = l.project_id
        WHERE s.damaged_at IS NOT NULL AND ($1::text IS NULL OR p.name = $1) AND ($3::text IS NULL OR b.name = $3)
          AND ($2::text IS NULL
            OR EXISTS (SELECT 1 FROM files f JOIN datasets d ON d.id = f.dataset_id
                       WHERE f.blob_id = l.id AND d.name = $2)
            OR EXISTS (SELECT 1 FROM file_blobs q JOIN files f ON f.id = q.file_id JOIN datasets d ON d.id = f.dataset_id
                       WHERE q.blob_id = l.id AND d.name = $2)
            OR EXISTS (SELECT 1 FROM manifest_segments m JOIN manifest_groups g ON g.id = m.group_id
                       JOIN datasets d ON d.id = g.dataset_id WHERE m.blob_id = l.id AND d.name = $2))
        UNION ALL
        SELECT NULL::bigint, c.uuid, b.name, s.damaged_at, s.manifest <> 'failed', s.error_message,
            NOT EXISTS (SELECT 1 FROM manifest_objects o WHERE o.changeset_id = c.id AND o.staging_id IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM changeset_backends o WHERE o.changeset_id = c.id AND o.manifest = 'completed')
        FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id
        JOIN projects p ON p.id = d.project_id JOIN backends b ON b.id = s.backend_id
        WHERE s.damaged_at IS NOT NULL AND ($1::text IS NULL OR p.name = $1) AND ($2::text IS NULL OR d.name = $2)
          AND ($3::text IS NULL OR b.name = $3)) o
     ORDER BY damaged_at LIMIT $4";

impl PostgresCatalog {
    /// Blobs are locked before their placements, as a finish does. In the order of blobs and stores, whatever the order of the damages.
    pub(super) async fn mark_damaged(
        &self,
        run: Option<ValidationRun>,
        damages: &[Damage],
    ) -> Result<Vec<bool>, Fail> {
        let mut tx = self.begin().await?;
        let blob = |damage: &Damage| match damage.object {
            Vouched::Blob(blob) => Some(blob.0),
            Vouched::Manifest(_) => None,
        };
        lock_blobs(&mut tx, &damages.iter().filter_map(blob).collect::<Vec<_>>()).await?;
        let mut order: Vec<usize> = (0..damages.len()).collect();
        order.sort_by_key(|at| (damages[*at].object, damages[*at].backend));
        let mut accepted = BTreeMap::new();
        for at in order {
            let damage = &damages[at];
            let marked = match damage.object {
                Vouched::Blob(blob) => blob_damaged(&mut tx, blob, damage).await?,
                Vouched::Manifest(changeset) => manifest_damaged(&mut tx, changeset, damage).await?,
            };
            accepted.insert(at, marked);
        }
        if let Some(run) = run {
            let damaged = accepted.values().filter(|accepted| **accepted).count() as u64;
            touch(&mut tx, run, (damaged, 0, damaged)).await?;
        }
        tx.commit().await?;
        Ok(accepted.into_values().collect())
    }

    pub(super) async fn open_damages(
        &self,
        scope: &DamageScope,
        limit: u32,
    ) -> Result<Vec<DamageRecord>, Fail> {
        let rows = sqlx::query(OPEN)
            .bind(scope.project.as_ref().map(ToString::to_string))
            .bind(scope.dataset.as_ref().map(ToString::to_string))
            .bind(scope.backend.as_ref().map(ToString::to_string))
            .bind(i64::from(limit));
        rows.fetch_all(&mut *self.link().await?).await?.iter().map(validation::damage).collect()
    }
}

/// The blob is locked.
async fn blob_damaged(tx: &mut Tx, blob: BlobId, damage: &Damage) -> Result<bool, Fail> {
    let backend = damage.backend.0;
    let marked = sqlx::query(
        "WITH marked AS (UPDATE blob_backends s SET status = 'pending', damaged_at = n2s_now(), seen_at = NULL, verified_at = NULL,
                location = NULL, retry_count = 0, lost_count = 0, error_kind = $3, error_message = $4
            FROM blobs l WHERE s.blob_id = $1 AND s.backend_id = $2 AND s.status = 'completed' AND l.id = s.blob_id AND l.sealed_hash = $5
            RETURNING s.backend_id, l.encrypted_size)
         INSERT INTO backend_deltas (backend_id, pending, completed, failed, bytes)
         SELECT backend_id, 1, -1, 0, -encrypted_size FROM marked",
    );
    let marked = marked.bind(blob.0).bind(backend).bind(damage.kind.as_str()).bind(text(&damage.message));
    let marked = marked.bind(damage.sealed_hash.0.to_vec()).execute(&mut **tx).await?;
    if marked.rows_affected() == 0 {
        return Ok(false);
    }
    call_back(tx, blob.0, backend).await?;
    let waiting = reopen_owners(tx, blob.0, backend).await?;
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id)
         SELECT 'upload', $2, l.project_id, coalesce($3, l.first_seen), l.id FROM blobs l WHERE l.id = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(blob.0)
    .bind(backend)
    .bind(waiting)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO unsourced (blob_id) SELECT l.id FROM blobs l WHERE l.id = $1 AND l.staging_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')
         ON CONFLICT DO NOTHING",
    )
    .bind(blob.0)
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// Changesets whose own rows reference a blob, on a store they were asked onto.
const OWNERS: &str = "SELECT c.id FROM (
        SELECT changeset_id FROM files WHERE blob_id = $1
        UNION SELECT f.changeset_id FROM file_blobs q JOIN files f ON f.id = q.file_id WHERE q.blob_id = $1
        UNION SELECT g.changeset_id FROM manifest_segments s JOIN manifest_groups g ON g.id = s.group_id WHERE s.blob_id = $1) o
     JOIN changesets c ON c.id = o.changeset_id
     JOIN changeset_backends b ON b.changeset_id = c.id AND b.backend_id = $2
     WHERE c.abandoned_at IS NULL ORDER BY c.id";

/// The changesets whose own rows reference the blob wait for it again. Returns the latest.
async fn reopen_owners(tx: &mut Tx, blob: i64, backend: i64) -> Result<Option<i64>, Fail> {
    let owners = sqlx::query(OWNERS);
    let mut latest = None;
    for row in owners.bind(blob).bind(backend).fetch_all(&mut **tx).await? {
        let owner: i64 = row.int("id")?;
        let waits = sqlx::query(
            "INSERT INTO placement_waiters (blob_id, backend_id, changeset_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
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

/// Headers that were to go to the store when all of their versions was there wait again: the folder looks which of them may. A worker that finishes
/// one at this moment has come before, or finds its job gone.
async fn call_back(tx: &mut Tx, blob: i64, backend: i64) -> Result<(), Fail> {
    sqlx::query(
        "WITH mine AS MATERIALIZED (
            SELECT s.changeset_id FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
            JOIN datasets d ON d.id = c.dataset_id
            WHERE s.backend_id = $2 AND s.manifest = 'pending' AND d.project_id = (SELECT project_id FROM blobs WHERE id = $1)
            ORDER BY s.changeset_id FOR NO KEY UPDATE OF s),
         headers AS (UPDATE changeset_backends s SET manifest = 'waiting' FROM mine
            WHERE s.changeset_id = mine.changeset_id AND s.backend_id = $2 RETURNING s.changeset_id),
         gone AS (DELETE FROM jobs j USING headers h WHERE j.kind = 'manifest' AND j.changeset_id = h.changeset_id AND j.backend_id = $2)
         INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed) SELECT changeset_id, $2, 0, 0 FROM headers",
    )
    .bind(blob)
    .bind(backend)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn manifest_damaged(tx: &mut Tx, changeset: ChangesetId, damage: &Damage) -> Result<bool, Fail> {
    let found = sqlx::query(
        "UPDATE changeset_backends SET manifest = 'pending', damaged_at = n2s_now(), seen_at = NULL, verified_at = NULL,
            completed_at = NULL, retry_count = 0, lost_count = 0, error_kind = $3, error_message = $4
         WHERE changeset_id = (SELECT id FROM changesets WHERE uuid = $1) AND backend_id = $2 AND manifest = 'completed'
         RETURNING changeset_id",
    );
    let found = found.bind(changeset.0).bind(damage.backend.0).bind(damage.kind.as_str());
    let found = found.bind(text(&damage.message)).fetch_optional(&mut **tx).await?;
    let Some(found) = found else { return Ok(false) };
    let id: i64 = found.int("changeset_id")?;
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id)
         SELECT 'manifest', $2, d.project_id, c.id FROM changesets c JOIN datasets d ON d.id = c.dataset_id WHERE c.id = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(damage.backend.0)
    .execute(&mut **tx)
    .await?;
    reopen(tx, id).await?;
    delta(tx, id, damage.backend.0, 0, 0).await?;
    Ok(true)
}

/// A committed changeset begins a new generation: degraded while `min_copies` stores are whole. The one that has lost
/// something is not: it waits for a copy, or for its manifest.
async fn reopen(tx: &mut Tx, changeset: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changesets SET generation = generation + 1, completed_at = NULL,
            status = CASE
                WHEN committed_at IS NULL OR status = 'pushing' THEN status
                WHEN min_copies <= (SELECT count(*) FROM changeset_backends s WHERE s.changeset_id = $1
                    AND s.manifest = 'completed' AND s.waiting = 0 AND s.failed = 0
                    -- Not folded yet.
                    AND NOT EXISTS (SELECT 1 FROM completion_deltas d WHERE d.changeset_id = s.changeset_id
                        AND d.backend_id = s.backend_id AND (d.waiting <> 0 OR d.failed <> 0))) THEN 'degraded'
                ELSE 'pushing' END
         WHERE id = $1",
    )
    .bind(changeset)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
