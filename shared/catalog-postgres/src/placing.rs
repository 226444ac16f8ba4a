//! Asking for blobs on stores: placements, jobs and waiters, for entries and for manifest segments alike.
//!
//! [`sourced`] locks the blobs, [`place`] then locks their placements, each in ascending order; a finish does the same. So whoever comes second
//! sees what the first has done: a waiter that must be told, or a placement that needs no waiting for.

use std::collections::BTreeMap;

use n2s_catalog::decisions::entering::all_sourced;
use n2s_catalog::rows::pushes::{self, OpenRow};
use n2s_catalog::rows::{Columns as _, column, pairs};
use n2s_domain::ContentHash;

use crate::connect::Tx;
use crate::decode::hashes;
use crate::error::Fail;

/// The rows of contents that have a source, locked. `Unsourced` names those that have none, or no row.
pub(crate) async fn sourced(
    tx: &mut Tx,
    project: i64,
    contents: &[ContentHash],
) -> Result<BTreeMap<ContentHash, i64>, Fail> {
    lock_contents(tx, project, &hashes(contents)).await?;
    let rows = sqlx::query(
        "SELECT l.id, l.content_hash FROM unnest($1::bytea[]) h (content) CROSS JOIN LATERAL (
            SELECT l.id, l.content_hash, l.staging_id FROM blobs l WHERE l.project_id = $2 AND l.content_hash = h.content OFFSET 0) l
         WHERE l.staging_id IS NOT NULL
            OR (SELECT count(*) FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed') > 0",
    )
    .bind(hashes(contents))
    .bind(project)
    .fetch_all(&mut **tx)
    .await?;
    let found = rows.iter().map(pushes::sourced).collect::<Result<_, Fail>>()?;
    Ok(all_sourced(contents, found)?)
}

/// Locks the rows of contents, in the order of their ids. Each is looked up by itself, here and wherever contents are looked for: a plan for
/// all at once may read every blob of the project, as long as the statistics of a growing table are not made.
pub(crate) async fn lock_contents(tx: &mut Tx, project: i64, contents: &[Vec<u8>]) -> Result<(), Fail> {
    sqlx::query(
        "WITH known AS MATERIALIZED (SELECT l.id FROM unnest($1::bytea[]) h (content) CROSS JOIN LATERAL (
            SELECT l.id FROM blobs l WHERE l.project_id = $2 AND l.content_hash = h.content OFFSET 0) l ORDER BY l.id)
         SELECT l.id FROM known CROSS JOIN LATERAL (SELECT l.id FROM blobs l WHERE l.id = known.id FOR NO KEY UPDATE) l",
    )
    .bind(contents)
    .bind(project)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes sure that each blob is, or is being, put on every store of the push, and that the push waits for what is not. The blobs are
/// locked. Returns the number of new jobs.
pub(crate) async fn place(tx: &mut Tx, push: &OpenRow, blobs: &[i64]) -> Result<u64, Fail> {
    if blobs.is_empty() {
        return Ok(0);
    }
    sqlx::query("UPDATE blobs SET min_copies = $2 WHERE min_copies < $2 AND id = ANY ($1)")
        .bind(blobs)
        .bind(push.min_copies)
        .execute(&mut **tx)
        .await?;
    let failed = sqlx::query(
        "WITH locked AS (SELECT blob_id, backend_id, status FROM blob_backends
            WHERE blob_id = ANY ($1) AND backend_id = ANY ($2) ORDER BY blob_id, backend_id FOR NO KEY UPDATE)
         SELECT blob_id, backend_id FROM locked WHERE status = 'failed'",
    );
    let failed = failed.bind(blobs).bind(&push.backends).fetch_all(&mut **tx).await?;
    rearm(tx, &pairs::<_, _, Vec<_>>(&failed, ["blob_id", "backend_id"])?).await?;
    sqlx::query(
        "WITH placed AS (INSERT INTO blob_backends (blob_id, backend_id, status)
            SELECT l, b, 'pending' FROM unnest($1::bigint[]) l CROSS JOIN unnest($2::bigint[]) b ORDER BY l, b
            ON CONFLICT DO NOTHING RETURNING backend_id)
         INSERT INTO backend_deltas (backend_id, pending, completed, failed, bytes)
         SELECT backend_id, count(*), 0, 0, 0 FROM placed GROUP BY backend_id",
    )
    .bind(blobs)
    .bind(&push.backends)
    .execute(&mut **tx)
    .await?;
    let jobs = start_and_wait(tx, push, blobs).await?;
    unpin(tx, push, Some(blobs)).await?;
    Ok(jobs)
}

async fn start_and_wait(tx: &mut Tx, push: &OpenRow, blobs: &[i64]) -> Result<u64, Fail> {
    let started = sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id)
         SELECT 'upload', s.backend_id, $3, $4, s.blob_id FROM blob_backends s
         WHERE s.blob_id = ANY ($1) AND s.backend_id = ANY ($2) AND s.status = 'pending' ORDER BY s.blob_id, s.backend_id
         ON CONFLICT DO NOTHING",
    );
    let started = started.bind(blobs).bind(&push.backends).bind(push.project).bind(push.id);
    let jobs = started.execute(&mut **tx).await?.rows_affected();
    sqlx::query(
        "WITH waits AS (INSERT INTO placement_waiters (blob_id, backend_id, changeset_id)
            SELECT s.blob_id, s.backend_id, $3 FROM blob_backends s
            WHERE s.blob_id = ANY ($1) AND s.backend_id = ANY ($2) AND s.status = 'pending'
            ON CONFLICT DO NOTHING RETURNING backend_id)
         INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT $3, backend_id, count(*), 0 FROM waits GROUP BY backend_id",
    )
    .bind(blobs)
    .bind(&push.backends)
    .bind(push.id)
    .execute(&mut **tx)
    .await?;
    Ok(jobs)
}

/// The staged blobs that a push has pinned, locked in order. Found from the pins and never the other way round: in order, there are all blobs.
/// `num_nulls`, here and wherever blobs are known already: of `IS NOT NULL`, the planner may read all that is staged for each of them, because it
/// takes an index of what is staged for empty if it was when statistics were made.
const PINNED: &str = "
    SELECT l.id FROM (SELECT p.blob_id FROM pins p WHERE p.changeset_id = $1 AND $2::bigint[] IS NULL ORDER BY p.blob_id) p
    CROSS JOIN LATERAL (SELECT l.id FROM blobs l WHERE l.id = p.blob_id AND num_nulls(l.staging_id) = 0 FOR NO KEY UPDATE) l";
/// The same of some blobs.
const PINNED_OF: &str = "
    SELECT l.id FROM (SELECT b FROM unnest($2::bigint[]) b ORDER BY b) b
    CROSS JOIN LATERAL (SELECT p.blob_id FROM pins p WHERE p.blob_id = b.b AND p.changeset_id = $1 OFFSET 0) p
    CROSS JOIN LATERAL (SELECT l.id FROM blobs l WHERE l.id = p.blob_id AND num_nulls(l.staging_id) = 0 FOR NO KEY UPDATE) l";

/// Takes the push's pins off the given blobs, or off all of them. What finished while it was pinned is noted, because its
/// finish could not free it; that a finish does not pass by meanwhile, the blobs' locks see to.
pub(crate) async fn unpin(tx: &mut Tx, push: &OpenRow, blobs: Option<&[i64]>) -> Result<(), Fail> {
    let pinned = sqlx::query(if blobs.is_some() { PINNED_OF } else { PINNED });
    let pinned = pinned.bind(push.id).bind(blobs).fetch_all(&mut **tx).await?;
    let pinned = column(&pinned, "id")?;
    sqlx::query(
        "INSERT INTO unpinned (blob_id) SELECT l.id FROM blobs l WHERE l.id = ANY ($1) AND num_nulls(l.staging_id) = 0
           AND (SELECT count(*) FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'pending') = 0
         ORDER BY l.id ON CONFLICT DO NOTHING",
    )
    .bind(pinned)
    .execute(&mut **tx)
    .await?;
    let delete = match blobs {
        Some(_) => "DELETE FROM pins WHERE changeset_id = $1 AND blob_id = ANY ($2)",
        None => "DELETE FROM pins WHERE changeset_id = $1 AND $2::bigint[] IS NULL",
    };
    sqlx::query(delete).bind(push.id).bind(blobs).execute(&mut **tx).await?;
    Ok(())
}

/// Failed and locked placements (blob, store) are pending again, with a fresh budget; changesets that wait for them begin a new
/// generation. Their jobs are made by the caller. Returns how many.
pub(crate) async fn rearm(tx: &mut Tx, failed: &[(i64, i64)]) -> Result<u64, Fail> {
    if failed.is_empty() {
        return Ok(0);
    }
    let (blobs, backends): (Vec<i64>, Vec<i64>) = failed.iter().copied().unzip();
    let reopened = sqlx::query(
        "WITH deltas AS (INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
            SELECT w.changeset_id, w.backend_id, count(*), -count(*) FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
            JOIN placement_waiters w ON w.blob_id = j.blob AND w.backend_id = j.backend GROUP BY w.changeset_id, w.backend_id
            RETURNING changeset_id)
         SELECT DISTINCT changeset_id FROM deltas ORDER BY changeset_id",
    );
    let reopened = reopened.bind(&blobs).bind(&backends).fetch_all(&mut **tx).await?;
    for row in &reopened {
        next_generation(tx, row.int("changeset_id")?).await?;
    }
    sqlx::query(
        "WITH rearmed AS (UPDATE blob_backends s SET status = 'pending', retry_count = 0, lost_count = 0, error_kind = NULL,
                error_message = NULL
            FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
            WHERE s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'failed' RETURNING s.backend_id)
         INSERT INTO backend_deltas (backend_id, pending, completed, failed, bytes)
         SELECT backend_id, count(*), 0, -count(*), 0 FROM rearmed GROUP BY backend_id",
    )
    .bind(blobs)
    .bind(backends)
    .execute(&mut **tx)
    .await?;
    Ok(failed.len() as u64)
}

/// The jobs of placements that are pending again.
pub(crate) async fn uploads_again(tx: &mut Tx, placements: &[(i64, i64)]) -> Result<(), Fail> {
    let (blobs, backends): (Vec<i64>, Vec<i64>) = placements.iter().copied().unzip();
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, blob_id)
         SELECT 'upload', j.backend, l.project_id, coalesce((SELECT max(w.changeset_id) FROM placement_waiters w
            WHERE w.blob_id = l.id AND w.backend_id = j.backend), l.first_seen), l.id
         FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend) JOIN blobs l ON l.id = j.blob ORDER BY l.id, j.backend
         ON CONFLICT DO NOTHING",
    )
    .bind(blobs)
    .bind(backends)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A committed changeset that had settled is pushing again.
pub(crate) async fn next_generation(tx: &mut Tx, changeset: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changesets SET generation = generation + 1, completed_at = NULL,
            status = CASE WHEN committed_at IS NULL THEN status ELSE 'pushing' END
         WHERE id = $1",
    )
    .bind(changeset)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Appends what a changeset's folder will add up.
pub(crate) async fn delta(
    tx: &mut Tx,
    changeset: i64,
    backend: i64,
    waiting: i64,
    failed: i64,
) -> Result<(), Fail> {
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed) VALUES ($1, $2, $3, $4)",
    )
    .bind(changeset)
    .bind(backend)
    .bind(waiting)
    .bind(failed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
