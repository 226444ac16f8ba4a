//! Leased → done, or pending again; what waits for it hears; staging is freed.

use std::collections::{BTreeMap, BTreeSet};

use n2s_catalog::decisions::finishing::{Again, Sorted};
use n2s_catalog::rows::jobs::HeldJob;
use n2s_catalog::rows::{Columns as _, column, int, staging};
use n2s_catalog::{Finish, FinishReport, StagedKey};
use n2s_domain::{FailureKind, SealedHash, Timestamp};
use n2s_failpoints::Point;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode;
use crate::error::Fail;
use crate::placing::delta;

impl SqliteCatalog {
    pub(super) async fn settle_claims(&self, outcomes: &[Finish]) -> Result<FinishReport, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let sorted = Sorted::new(outcomes, held(&mut tx, outcomes).await?);
        store(&mut tx, &sorted.stored, now).await?;
        fail(&mut tx, &sorted.failed, now).await?;
        for retry in &sorted.retried {
            again(&mut tx, retry, now).await?;
        }
        let done: Vec<i64> = sorted.ended().map(|job| job.id).collect();
        sqlx::query("DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))")
            .bind(decode::json(&done))
            .execute(&mut *tx)
            .await?;
        let freed = free(&mut tx, &sorted.stored).await?;
        commit(tx, Point::Finished).await?;
        Ok(FinishReport { accepted: sorted.accepted, freed })
    }
}

/// The jobs whose claims still hold, by job and epoch.
async fn held(tx: &mut Tx<'_>, outcomes: &[Finish]) -> Result<BTreeMap<(i64, i64), HeldJob>, Fail> {
    let list: Vec<_> = outcomes.iter().map(|finish| (finish.claim.job.0, int(finish.claim.epoch))).collect();
    let found = sqlx::query(
        "SELECT json_group_array(json_array(j.id, j.epoch, j.backend_id, j.changeset_id, j.blob_id)) FROM json_each(?) o
         CROSS JOIN jobs j ON j.id = o.value ->> 0 AND j.epoch = o.value ->> 1 AND j.state = 2",
    );
    let found = found.bind(decode::json(&list)).fetch_one(&mut **tx).await?;
    let job = |(id, epoch, backend, changeset, blob)| ((id, epoch), HeldJob { id, backend, changeset, blob });
    Ok(decode::rows(&found)?.into_iter().map(job).collect())
}

async fn store(tx: &mut Tx<'_>, stored: &[(HeldJob, Option<&str>)], now: i64) -> Result<(), Fail> {
    let upload =
        |(job, location): &(HeldJob, Option<&str>)| job.blob.map(|blob| json!([blob, job.backend, location]));
    let uploads: Vec<Value> = stored.iter().filter_map(upload).collect();
    wake_held_up(tx, &uploads).await?;
    sqlx::query(
        "UPDATE blob_backends SET status = 'completed', attempted_at = ?2, completed_at = ?2, damaged_at = NULL,
            error_kind = NULL, error_message = NULL, location = j.value ->> 2
         FROM json_each(?1) j WHERE blob_id = j.value ->> 0 AND backend_id = j.value ->> 1 AND status = 'pending'",
    )
    .bind(decode::json(&uploads))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    // What staging had lost can be read again, from the store.
    sqlx::query("DELETE FROM unsourced WHERE blob_id IN (SELECT value ->> 0 FROM json_each(?))")
        .bind(decode::json(&uploads))
        .execute(&mut **tx)
        .await?;
    tally(tx, &uploads, "completed").await?;
    wake_waiters(tx, &uploads, false).await?;
    for (job, _) in stored.iter().filter(|(job, _)| job.blob.is_none()) {
        manifest(tx, *job, "completed", None, now).await?;
    }
    Ok(())
}

pub(crate) async fn fail_uploads(tx: &mut Tx<'_>, uploads: &[Value], now: i64) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE blob_backends SET status = 'failed', attempted_at = ?2, error_kind = j.value ->> 2, error_message = j.value ->> 3,
            retry_count = retry_count + (j.value ->> 4)
         FROM json_each(?1) j WHERE blob_id = j.value ->> 0 AND backend_id = j.value ->> 1 AND status = 'pending'",
    )
    .bind(decode::json(&uploads))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    tally(tx, uploads, "failed").await?;
    wake_held_up(tx, uploads).await?;
    wake_waiters(tx, uploads, true).await
}

/// The end of a repair concerns versions that inherit the blob, and no waiter names them.
async fn wake_held_up(tx: &mut Tx<'_>, uploads: &[Value]) -> Result<(), Fail> {
    // Normally empty, so that uploads do not pay for repairs.
    let any = sqlx::query("SELECT 1 FROM blob_backends WHERE damaged_at IS NOT NULL LIMIT 1");
    if any.fetch_optional(&mut **tx).await?.is_none() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT c.changeset_id, c.backend_id, 0, 0 FROM changeset_backends c
         WHERE c.manifest IN ('waiting', 'blocked') AND c.backend_id IN (
            SELECT s.backend_id FROM json_each(?) j CROSS JOIN blob_backends s ON s.blob_id = j.value ->> 0
                AND s.backend_id = j.value ->> 1 WHERE s.damaged_at IS NOT NULL)",
    )
    .bind(decode::json(&uploads))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn fail(tx: &mut Tx<'_>, failed: &[(HeldJob, FailureKind, &str)], now: i64) -> Result<(), Fail> {
    let upload = |(job, kind, text): &(HeldJob, FailureKind, &str)| {
        job.blob.map(|blob| json!([blob, job.backend, kind.as_str(), text, 1]))
    };
    let uploads: Vec<Value> = failed.iter().filter_map(upload).collect();
    fail_uploads(tx, &uploads, now).await?;
    for (job, kind, text) in failed.iter().filter(|(job, ..)| job.blob.is_none()) {
        manifest(tx, *job, "failed", Some((*kind, text)), now).await?;
    }
    Ok(())
}

/// The store's totals.
async fn tally(tx: &mut Tx<'_>, uploads: &[Value], status: &'static str) -> Result<(), Fail> {
    let rows = sqlx::query(
        "SELECT j.value ->> 1 AS backend_id, count(*) AS n, sum(l.encrypted_size) AS bytes
         FROM json_each(?) j CROSS JOIN blobs l ON l.id = j.value ->> 0 GROUP BY 1",
    );
    for row in rows.bind(decode::json(&uploads)).fetch_all(&mut **tx).await? {
        let sql = if status == "completed" {
            "UPDATE backends SET pending = pending - ?2, completed = completed + ?2, bytes = bytes + ?3 WHERE id = ?1"
        } else {
            "UPDATE backends SET pending = pending - ?2, failed = failed + ?2 WHERE id = ?1 AND ?3 >= 0"
        };
        let (backend, n, bytes): (i64, i64, i64) = (row.int("backend_id")?, row.int("n")?, row.int("bytes")?);
        sqlx::query(sql).bind(backend).bind(n).bind(bytes).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Appends deltas for the changesets that wait. Waiters of failed placements stay: a retry starts from them.
async fn wake_waiters(tx: &mut Tx<'_>, uploads: &[Value], failed: bool) -> Result<(), Fail> {
    if uploads.is_empty() {
        return Ok(());
    }
    let list = decode::json(&uploads);
    let rows = sqlx::query(
        "SELECT w.changeset_id, w.backend_id, count(*) AS n FROM json_each(?) j
         CROSS JOIN placement_waiters w ON w.blob_id = j.value ->> 0 AND w.backend_id = j.value ->> 1
         GROUP BY w.changeset_id, w.backend_id",
    );
    for row in rows.bind(&list).fetch_all(&mut **tx).await? {
        let n: i64 = row.int("n")?;
        delta(tx, row.int("changeset_id")?, row.int("backend_id")?, -n, if failed { n } else { 0 }).await?;
    }
    if !failed {
        // Store by store: a pair of columns in (SELECT …) would look at every waiter there is.
        let stores: BTreeSet<i64> = uploads.iter().filter_map(|upload| upload[1].as_i64()).collect();
        for store in stores {
            sqlx::query(
                "DELETE FROM placement_waiters WHERE backend_id = ?2
                 AND blob_id IN (SELECT value ->> 0 FROM json_each(?1) WHERE value ->> 1 = ?2)",
            )
            .bind(&list)
            .bind(store)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

/// A manifest's end on a store concerns the versions built on it there, too.
pub(super) async fn manifest_ended(
    tx: &mut Tx<'_>,
    (changeset, backend): (i64, i64),
    state: &'static str,
    error: Option<(FailureKind, &str)>,
    now: i64,
) -> Result<(), Fail> {
    sqlx::query(
        "UPDATE changeset_backends SET manifest = ?3, attempted_at = ?4,
            completed_at = CASE WHEN ?3 = 'completed' THEN ?4 END, error_kind = ?5, error_message = ?6,
            damaged_at = CASE WHEN ?3 = 'completed' THEN NULL ELSE damaged_at END,
            retry_count = retry_count + (?3 = 'failed')
         WHERE changeset_id = ?1 AND backend_id = ?2",
    )
    .bind(changeset)
    .bind(backend)
    .bind(state)
    .bind(now)
    .bind(error.map(|(kind, _)| kind.as_str()))
    .bind(error.map(|(_, text)| text.to_owned()))
    .execute(&mut **tx)
    .await?;
    delta(tx, changeset, backend, 0, 0).await?;
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT id, ?2, 0, 0 FROM changesets WHERE parent_id = ?1 AND committed_at IS NOT NULL",
    )
    .bind(changeset)
    .bind(backend)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn manifest(
    tx: &mut Tx<'_>,
    job: HeldJob,
    state: &'static str,
    error: Option<(FailureKind, &str)>,
    now: i64,
) -> Result<(), Fail> {
    manifest_ended(tx, (job.changeset, job.backend), state, error, now).await
}

async fn again(tx: &mut Tx<'_>, again: &Again<'_>, now: i64) -> Result<(), Fail> {
    let Again { job, after, charged, error } = *again;
    let due = Timestamp::from_micros(now).after(after).as_micros();
    sqlx::query("UPDATE jobs SET state = 0, due_at = ?2, retry_count = retry_count + ?3 WHERE id = ?1")
        .bind(job.id)
        .bind(due)
        .bind(i64::from(charged))
        .execute(&mut **tx)
        .await?;
    let Some((kind, text)) = error else { return Ok(()) };
    let sql = if job.blob.is_some() {
        "UPDATE blob_backends SET attempted_at = ?3, error_kind = ?4, error_message = ?5, retry_count = retry_count + ?6
         WHERE blob_id = ?1 AND backend_id = ?2"
    } else {
        "UPDATE changeset_backends SET attempted_at = ?3, error_kind = ?4, error_message = ?5, retry_count = retry_count + ?6
         WHERE changeset_id = ?1 AND backend_id = ?2"
    };
    sqlx::query(sql)
        .bind(job.blob.unwrap_or(job.changeset))
        .bind(job.backend)
        .bind(now)
        .bind(kind.as_str())
        .bind(text.as_str())
        .bind(i64::from(charged))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Blobs safe on enough stores, with nothing under way and nobody's pin, leave staging.
async fn free(tx: &mut Tx<'_>, stored: &[(HeldJob, Option<&str>)]) -> Result<Vec<StagedKey>, Fail> {
    let mut blobs: Vec<i64> = stored.iter().filter_map(|(job, _)| job.blob).collect();
    let unpinned = sqlx::query("DELETE FROM unpinned RETURNING blob_id").fetch_all(&mut **tx).await?;
    blobs.extend(column(&unpinned, "blob_id")?);
    let found = sqlx::query(
        "SELECT json_group_array(json_array(l.id, hex(l.sealed_hash), l.staging_id)) FROM blobs l
         WHERE l.id IN (SELECT value FROM json_each(?)) AND l.staging_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'pending')
           AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.blob_id = l.id)
           AND (SELECT count(*) FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed') >= l.min_copies",
    );
    let found = found.bind(decode::json(&blobs)).fetch_one(&mut **tx).await?;
    sqlx::query(
        "UPDATE blobs SET staging_id = NULL, staged_at = NULL WHERE id IN (SELECT value ->> 0 FROM json_each(?))",
    )
    .bind(found.try_get::<&str, _>(0)?)
    .execute(&mut **tx)
    .await?;
    let key = |(_, hash, id): (i64, String, i64)| {
        Ok(StagedKey { sealed_hash: SealedHash(decode::unhex(&hash)?), id })
    };
    let mut freed = decode::rows(&found)?.into_iter().map(key).collect::<Result<Vec<_>, Fail>>()?;
    for (job, _) in stored.iter().filter(|(job, _)| job.blob.is_none()) {
        freed.extend(free_manifest(tx, job.changeset).await?);
    }
    Ok(freed)
}

/// A manifest on all its stores leaves staging.
async fn free_manifest(tx: &mut Tx<'_>, changeset: i64) -> Result<Vec<StagedKey>, Fail> {
    let rows = sqlx::query(
        "SELECT part, sealed_hash, staging_id FROM manifest_objects WHERE changeset_id = ?1 AND staging_id IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM changeset_backends WHERE changeset_id = ?1 AND manifest <> 'completed')",
    );
    let rows = rows.bind(changeset).fetch_all(&mut **tx).await?;
    if !rows.is_empty() {
        sqlx::query("UPDATE manifest_objects SET staging_id = NULL WHERE changeset_id = ?")
            .bind(changeset)
            .execute(&mut **tx)
            .await?;
    }
    rows.iter().map(staging::key).collect()
}
