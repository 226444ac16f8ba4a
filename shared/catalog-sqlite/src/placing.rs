//! Asking for blobs on stores: placements, jobs and waiters, for entries and for manifest segments alike.

use std::collections::BTreeMap;

use n2s_catalog::decisions::entering::all_sourced;
use n2s_catalog::rows::pushes::OpenRow;
use n2s_catalog::rows::{Columns as _, column};
use n2s_domain::ContentHash;

use crate::connect::Tx;
use crate::decode::{hex, json, rows, unhex};
use crate::error::Fail;

/// The rows of contents that have a source. `Unsourced` names those that have none, or no row.
pub(crate) async fn sourced(
    tx: &mut Tx<'_>,
    project: i64,
    contents: &[ContentHash],
) -> Result<BTreeMap<ContentHash, i64>, Fail> {
    let hashes: Vec<_> = contents.iter().map(|hash| hex(&hash.0)).collect();
    let found = sqlx::query(
        "SELECT json_group_array(json_array(hex(l.content_hash), l.id)) FROM json_each(?1) j
         CROSS JOIN blobs l ON l.project_id = ?2 AND l.content_hash = unhex(j.value)
         WHERE l.staging_id IS NOT NULL
            OR EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')",
    )
    .bind(json(&hashes))
    .bind(project)
    .fetch_one(&mut **tx)
    .await?;
    let found = rows(&found)?.into_iter();
    let found = found.map(|(hash, id): (String, i64)| Ok((ContentHash(unhex(&hash)?), id)));
    Ok(all_sourced(contents, found.collect::<Result<_, Fail>>()?)?)
}

/// Makes sure that each blob is, or is being, put on every store of the push, and that the push waits for what is not.
/// Returns the number of new jobs.
pub(crate) async fn place(tx: &mut Tx<'_>, push: &OpenRow, blobs: &[i64], now: i64) -> Result<u64, Fail> {
    if blobs.is_empty() {
        return Ok(0);
    }
    let list = json(&blobs);
    sqlx::query(
        "UPDATE blobs SET min_copies = ?2 WHERE min_copies < ?2 AND id IN (SELECT value FROM json_each(?1))",
    )
    .bind(&list)
    .bind(push.min_copies)
    .execute(&mut **tx)
    .await?;
    let mut jobs = 0;
    for &backend in &push.backends {
        rearm(tx, &list, backend, now).await?;
        let placed = sqlx::query(
            "INSERT INTO blob_backends (blob_id, backend_id, status) SELECT value, ?2, 'pending' FROM json_each(?1) WHERE true
             ON CONFLICT DO NOTHING",
        );
        let placed = placed.bind(&list).bind(backend).execute(&mut **tx).await?.rows_affected();
        let started = sqlx::query(
            "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id, due_at)
             SELECT 'upload', ?2, ?3, ?4, s.blob_id, ?5
             FROM json_each(?1) j CROSS JOIN blob_backends s ON s.blob_id = j.value AND s.backend_id = ?2 AND s.status = 'pending'
             WHERE true ON CONFLICT DO NOTHING",
        );
        let started = started.bind(&list).bind(backend).bind(push.project).bind(push.id).bind(now);
        jobs += started.execute(&mut **tx).await?.rows_affected();
        sqlx::query("UPDATE backends SET pending = pending + ?2 WHERE id = ?1 AND ?2 > 0")
            .bind(backend)
            .bind(i64::try_from(placed).unwrap_or(0))
            .execute(&mut **tx)
            .await?;
        let waits = sqlx::query(
            "INSERT INTO placement_waiters (blob_id, backend_id, changeset_id)
             SELECT s.blob_id, ?2, ?3
             FROM json_each(?1) j CROSS JOIN blob_backends s ON s.blob_id = j.value AND s.backend_id = ?2 AND s.status = 'pending'
             WHERE true ON CONFLICT DO NOTHING",
        );
        let waits = waits.bind(&list).bind(backend).bind(push.id).execute(&mut **tx).await?.rows_affected();
        if waits > 0 {
            delta(tx, push.id, backend, i64::try_from(waits).unwrap_or(0), 0).await?;
        }
    }
    unpin(tx, push, Some(&list)).await?;
    Ok(jobs)
}

/// Takes the push's pins off the given blobs, or off all of them. What finished while it was pinned is noted, because its
/// finish could not free it.
pub(crate) async fn unpin(tx: &mut Tx<'_>, push: &OpenRow, blobs: Option<&str>) -> Result<(), Fail> {
    sqlx::query(
        "INSERT INTO unpinned (blob_id) SELECT p.blob_id FROM pins p JOIN blobs l ON l.id = p.blob_id
         WHERE p.changeset_id = ?2 AND (?1 IS NULL OR p.blob_id IN (SELECT value FROM json_each(?1)))
           AND l.staging_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'pending')
         ON CONFLICT DO NOTHING",
    )
    .bind(blobs)
    .bind(push.id)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM pins WHERE changeset_id = ?2 AND (?1 IS NULL OR blob_id IN (SELECT value FROM json_each(?1)))")
        .bind(blobs)
        .bind(push.id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Failed placements of these blobs on a store are pending again, with a fresh budget; changesets that wait for them begin
/// a new generation. Their jobs are made by the caller. Returns how many.
pub(crate) async fn rearm(tx: &mut Tx<'_>, blobs: &str, backend: i64, _now: i64) -> Result<u64, Fail> {
    let failed = sqlx::query(
        "SELECT s.blob_id FROM json_each(?1) j
         CROSS JOIN blob_backends s ON s.blob_id = j.value AND s.backend_id = ?2 AND s.status = 'failed'",
    );
    let failed = failed.bind(blobs).bind(backend).fetch_all(&mut **tx).await?;
    if failed.is_empty() {
        return Ok(0);
    }
    let failed = column(&failed, "blob_id")?;
    let list = json(&failed);
    let waiting = sqlx::query(
        "SELECT w.changeset_id, count(*) AS n FROM json_each(?1) j
         CROSS JOIN placement_waiters w ON w.blob_id = j.value AND w.backend_id = ?2 GROUP BY w.changeset_id",
    );
    for row in waiting.bind(&list).bind(backend).fetch_all(&mut **tx).await? {
        let (changeset, n): (i64, i64) = (row.int("changeset_id")?, row.int("n")?);
        delta(tx, changeset, backend, n, -n).await?;
        next_generation(tx, changeset).await?;
    }
    let rearmed = sqlx::query(
        "UPDATE blob_backends SET status = 'pending', retry_count = 0, lost_count = 0, error_kind = NULL, error_message = NULL
         WHERE backend_id = ?2 AND blob_id IN (SELECT value FROM json_each(?1))",
    );
    let rearmed = rearmed.bind(&list).bind(backend).execute(&mut **tx).await?.rows_affected();
    sqlx::query("UPDATE backends SET pending = pending + ?2, failed = failed - ?2 WHERE id = ?1")
        .bind(backend)
        .bind(i64::try_from(rearmed).unwrap_or(0))
        .execute(&mut **tx)
        .await?;
    Ok(rearmed)
}

/// The job of a placement that is pending again.
pub(crate) async fn upload_again(tx: &mut Tx<'_>, blob: i64, backend: i64, now: i64) -> Result<(), Fail> {
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id, due_at)
         SELECT 'upload', ?2, l.project_id, coalesce((SELECT max(w.changeset_id) FROM placement_waiters w
            WHERE w.blob_id = l.id AND w.backend_id = ?2), l.first_seen), l.id, ?3
         FROM blobs l WHERE l.id = ?1 ON CONFLICT DO NOTHING",
    )
    .bind(blob)
    .bind(backend)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A committed changeset that had settled is pushing again.
pub(crate) async fn next_generation(tx: &mut Tx<'_>, changeset: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changesets SET generation = generation + 1, completed_at = NULL,
            status = CASE WHEN committed_at IS NULL THEN status ELSE 'pushing' END
         WHERE id = ?",
    )
    .bind(changeset)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Appends what a changeset's folder will add up.
pub(crate) async fn delta(
    tx: &mut Tx<'_>,
    changeset: i64,
    backend: i64,
    waiting: i64,
    failed: i64,
) -> Result<(), Fail> {
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed) VALUES (?, ?, ?, ?)",
    )
    .bind(changeset)
    .bind(backend)
    .bind(waiting)
    .bind(failed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
