//! Leased → done, or pending again; what waits for it hears; staging is freed.
//!
//! Locks are taken in the order jobs, blobs, placements. The blobs' are for staging: of two stores that finish one blob at once, the
//! second must see the first's placement completed, or neither would free it. They are also for who strikes a blob out of staging, or puts another
//! sealing in its place, at the same moment: the bytes that are stored are the blob's, or the claim no longer holds.

use std::collections::BTreeMap;

use n2s_catalog::decisions::finishing::Sorted;
use n2s_catalog::rows::jobs::{self, HeldJob};
use n2s_catalog::rows::{Columns as _, column, int, staging};
use n2s_catalog::{Finish, FinishReport, StagedKey};
use n2s_domain::FailureKind;
use n2s_failpoints::Point;

use super::retry::again;
use crate::connect::{PostgresCatalog, Tx, commit};
use crate::decode::{arrays, text};
use crate::error::Fail;
use crate::placing::delta;
use crate::staging::{lock_blobs, unstage};

/// Blobs noted as unpinned that one finish looks at besides its own.
const UNPINNED_MAX: i64 = 500;

/// A placement that has failed for good.
pub(crate) struct FailedUpload {
    pub(crate) blob: i64,
    pub(crate) backend: i64,
    pub(crate) kind: FailureKind,
    pub(crate) words: String,
    pub(crate) charged: bool,
}

impl PostgresCatalog {
    pub(super) async fn settle_claims(&self, outcomes: &[Finish]) -> Result<FinishReport, Fail> {
        let mut tx = self.begin().await?;
        let sorted = Sorted::new(outcomes, held(&mut tx, outcomes).await?);
        let freeable = lock_freeable(&mut tx, &sorted.stored).await?;
        let retried = sorted.retried.iter().map(|again| again.job);
        let damaged = lock_placements(&mut tx, sorted.ended().chain(retried)).await?;
        store(&mut tx, &sorted.stored, damaged).await?;
        fail(&mut tx, &sorted.failed).await?;
        again(&mut tx, &sorted.retried).await?;
        let done: Vec<i64> = sorted.ended().map(|job| job.id).collect();
        sqlx::query("DELETE FROM jobs WHERE id = ANY ($1)").bind(done).execute(&mut *tx).await?;
        let freed = free(&mut tx, &sorted.stored, freeable).await?;
        commit(tx, Point::Finished).await?;
        Ok(FinishReport { accepted: sorted.accepted, freed })
    }
}

/// The jobs whose claims still hold, by job and epoch; locked.
async fn held(tx: &mut Tx, outcomes: &[Finish]) -> Result<BTreeMap<(i64, i64), HeldJob>, Fail> {
    let (ids, epochs) = arrays(outcomes.iter().map(|finish| (finish.claim.job.0, int(finish.claim.epoch))));
    let rows = sqlx::query(
        "SELECT j.* FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) o (id, epoch) ORDER BY id) o CROSS JOIN LATERAL (
            SELECT j.id, j.epoch, j.backend_id, j.changeset_id, j.blob_id FROM jobs j
            WHERE j.id = o.id AND j.epoch = o.epoch AND j.state = 2 FOR NO KEY UPDATE) j",
    );
    rows.bind(ids).bind(epochs).fetch_all(&mut **tx).await?.iter().map(jobs::held).collect()
}

/// Locks the blobs that this finish may free: its own, and those that were finished while they were pinned.
async fn lock_freeable(tx: &mut Tx, stored: &[(HeldJob, Option<&str>)]) -> Result<Vec<i64>, Fail> {
    let mut blobs: Vec<i64> = stored.iter().filter_map(|(job, _)| job.blob).collect();
    let unpinned = sqlx::query(
        "DELETE FROM unpinned WHERE blob_id IN (
            SELECT blob_id FROM unpinned ORDER BY blob_id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING blob_id",
    );
    blobs.extend(column(&unpinned.bind(UNPINNED_MAX).fetch_all(&mut **tx).await?, "blob_id")?);
    lock_blobs(tx, &blobs).await?;
    Ok(blobs)
}

/// Locks placements, and answers whether some of them are damaged.
async fn lock_placements(tx: &mut Tx, jobs: impl Iterator<Item = HeldJob>) -> Result<bool, Fail> {
    let (blobs, backends) = arrays(jobs.filter_map(|job| Some((job.blob?, job.backend))));
    let damaged = sqlx::query(
        "WITH locked AS MATERIALIZED (SELECT s.* FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
            ORDER BY blob, backend) j CROSS JOIN LATERAL (SELECT s.damaged_at FROM blob_backends s
                WHERE s.blob_id = j.blob AND s.backend_id = j.backend FOR NO KEY UPDATE) s)
         SELECT count(damaged_at) > 0 AS damaged FROM locked",
    );
    damaged.bind(blobs).bind(backends).fetch_one(&mut **tx).await?.flag("damaged")
}

async fn store(tx: &mut Tx, stored: &[(HeldJob, Option<&str>)], damaged: bool) -> Result<(), Fail> {
    let uploads = stored.iter().filter_map(|(job, location)| Some((job.blob?, job.backend, *location)));
    let uploads: Vec<_> = uploads.collect();
    let (blobs, backends) = arrays(uploads.iter().map(|(blob, backend, _)| (*blob, *backend)));
    if !blobs.is_empty() {
        let locations: Vec<Option<&str>> = uploads.into_iter().map(|(_, _, location)| location).collect();
        if damaged {
            wake_held_up(tx, &blobs, &backends).await?;
        }
        sqlx::query(
            "WITH done AS (UPDATE blob_backends s SET status = 'completed', attempted_at = n2s_now(), completed_at = n2s_now(),
                    damaged_at = NULL, error_kind = NULL, error_message = NULL, location = j.location
                FROM unnest($1::bigint[], $2::bigint[], $3::text[]) j (blob, backend, location)
                WHERE s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'pending' RETURNING s.blob_id, s.backend_id)
             INSERT INTO backend_deltas (backend_id, pending, completed, failed, bytes)
             SELECT d.backend_id, -count(*), count(*), 0, sum(l.encrypted_size) FROM done d JOIN blobs l ON l.id = d.blob_id
             GROUP BY d.backend_id",
        )
        .bind(&blobs)
        .bind(&backends)
        .bind(locations)
        .execute(&mut **tx)
        .await?;
        // What staging had lost can be read again, from the store.
        let found = sqlx::query("DELETE FROM unsourced WHERE blob_id = ANY ($1)");
        found.bind(&blobs).execute(&mut **tx).await?;
        sqlx::query(
            "WITH gone AS (DELETE FROM placement_waiters w USING unnest($1::bigint[], $2::bigint[]) j (blob, backend)
                WHERE w.blob_id = j.blob AND w.backend_id = j.backend RETURNING w.changeset_id, w.backend_id)
             INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
             SELECT changeset_id, backend_id, -count(*), 0 FROM gone GROUP BY changeset_id, backend_id",
        )
        .bind(blobs)
        .bind(backends)
        .execute(&mut **tx)
        .await?;
    }
    for (job, _) in stored.iter().filter(|(job, _)| job.blob.is_none()) {
        manifest_ended(tx, (job.changeset, job.backend), "completed", None).await?;
    }
    Ok(())
}

/// Locked placements have failed. Their waiters stay: a retry starts from them.
pub(crate) async fn fail_uploads(tx: &mut Tx, uploads: &[FailedUpload]) -> Result<(), Fail> {
    if uploads.is_empty() {
        return Ok(());
    }
    let (blobs, backends) = arrays(uploads.iter().map(|upload| (upload.blob, upload.backend)));
    sqlx::query(
        "WITH done AS (UPDATE blob_backends s SET status = 'failed', attempted_at = n2s_now(), error_kind = j.kind,
                error_message = j.words, retry_count = s.retry_count + j.charged::int
            FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bool[]) j (blob, backend, kind, words, charged)
            WHERE s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'pending' RETURNING s.backend_id)
         INSERT INTO backend_deltas (backend_id, pending, completed, failed, bytes)
         SELECT backend_id, -count(*), 0, count(*), 0 FROM done GROUP BY backend_id",
    )
    .bind(&blobs)
    .bind(&backends)
    .bind(uploads.iter().map(|upload| upload.kind.as_str()).collect::<Vec<_>>())
    .bind(uploads.iter().map(|upload| text(&upload.words)).collect::<Vec<_>>())
    .bind(uploads.iter().map(|upload| upload.charged).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    wake_held_up(tx, &blobs, &backends).await?;
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT w.changeset_id, w.backend_id, -count(*), count(*) FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
         JOIN placement_waiters w ON w.blob_id = j.blob AND w.backend_id = j.backend GROUP BY w.changeset_id, w.backend_id",
    )
    .bind(blobs)
    .bind(backends)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The end of a repair concerns versions that inherit the blob, and no waiter names them.
async fn wake_held_up(tx: &mut Tx, blobs: &[i64], backends: &[i64]) -> Result<(), Fail> {
    sqlx::query(
        "WITH repaired AS MATERIALIZED (SELECT DISTINCT s.backend_id FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
            JOIN blob_backends s ON s.blob_id = j.blob AND s.backend_id = j.backend WHERE num_nulls(s.damaged_at) = 0)
         INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT c.changeset_id, c.backend_id, 0, 0 FROM repaired r JOIN changeset_backends c ON c.backend_id = r.backend_id
         WHERE c.manifest IN ('waiting', 'blocked')",
    )
    .bind(blobs)
    .bind(backends)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn fail(tx: &mut Tx, failed: &[(HeldJob, FailureKind, &str)]) -> Result<(), Fail> {
    let mut uploads = Vec::new();
    for &(job, kind, words) in failed {
        if let Some(blob) = job.blob {
            uploads.push(FailedUpload {
                blob,
                backend: job.backend,
                kind,
                words: words.to_owned(),
                charged: true,
            });
        } else {
            manifest_ended(tx, (job.changeset, job.backend), "failed", Some((kind, words))).await?;
        }
    }
    fail_uploads(tx, &uploads).await
}

/// A manifest's end on a store concerns the versions built on it there, too: the folder wakes them.
pub(super) async fn manifest_ended(
    tx: &mut Tx,
    (changeset, backend): (i64, i64),
    state: &'static str,
    error: Option<(FailureKind, &str)>,
) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changeset_backends SET manifest = $3, attempted_at = n2s_now(),
            completed_at = CASE WHEN $3 = 'completed' THEN n2s_now() END, error_kind = $4, error_message = $5,
            damaged_at = CASE WHEN $3 = 'completed' THEN NULL ELSE damaged_at END,
            retry_count = retry_count + ($3 = 'failed')::int
         WHERE changeset_id = $1 AND backend_id = $2",
    )
    .bind(changeset)
    .bind(backend)
    .bind(state)
    .bind(error.map(|(kind, _)| kind.as_str()))
    .bind(error.map(|(_, words)| text(words)))
    .execute(&mut **tx)
    .await?;
    delta(tx, changeset, backend, 0, 0).await
}

/// Blobs safe on enough stores, with nothing under way and nobody's pin, leave staging. Their rows are locked. Each is looked up by itself:
/// as joins, the planner would read every pending placement to find these few.
async fn free(
    tx: &mut Tx,
    stored: &[(HeldJob, Option<&str>)],
    blobs: Vec<i64>,
) -> Result<Vec<StagedKey>, Fail> {
    let rows = sqlx::query(
        "SELECT l.id, l.sealed_hash, l.staging_id FROM blobs l CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE s.status = 'pending') AS pending, count(*) FILTER (WHERE s.status = 'completed') AS completed
            FROM blob_backends s WHERE s.blob_id = l.id) s
         WHERE l.id = ANY ($1) AND num_nulls(l.staging_id) = 0 AND s.pending = 0 AND s.completed >= l.min_copies
           AND (SELECT count(*) FROM pins p WHERE p.blob_id = l.id) = 0",
    );
    let rows = rows.bind(blobs).fetch_all(&mut **tx).await?;
    let mut freed = unstage(tx, &rows).await?;
    for (job, _) in stored.iter().filter(|(job, _)| job.blob.is_none()) {
        freed.extend(free_manifest(tx, job.changeset).await?);
    }
    Ok(freed)
}

/// A manifest on all its stores leaves staging. Its rows are locked before the stores are looked at: the last of two that finish at once frees.
async fn free_manifest(tx: &mut Tx, changeset: i64) -> Result<Vec<StagedKey>, Fail> {
    let lock =
        sqlx::query("SELECT 1 FROM manifest_objects WHERE changeset_id = $1 ORDER BY part FOR NO KEY UPDATE");
    lock.bind(changeset).execute(&mut **tx).await?;
    let rows = sqlx::query(
        "SELECT part, sealed_hash, staging_id FROM manifest_objects WHERE changeset_id = $1 AND num_nulls(staging_id) = 0
         AND NOT EXISTS (SELECT 1 FROM changeset_backends WHERE changeset_id = $1 AND manifest <> 'completed')",
    );
    let rows = rows.bind(changeset).fetch_all(&mut **tx).await?;
    if !rows.is_empty() {
        sqlx::query("UPDATE manifest_objects SET staging_id = NULL WHERE changeset_id = $1")
            .bind(changeset)
            .execute(&mut **tx)
            .await?;
    }
    rows.iter().map(staging::key).collect()
}
