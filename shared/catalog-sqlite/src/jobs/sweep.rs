//! Deadlines and leases that passed, a clock that was set back, a home that changed hands.

use n2s_catalog::rows::{Columns as _, jobs};
use n2s_catalog::{Depth, SweepReport};
use n2s_domain::limits::{JOB_HELD_MAX, JOB_LEASE, LOSSES_ALONE_MAX, LOSSES_BEFORE_ALONE, RETRY_DELAY_MAX};
use n2s_domain::{BackendId, FailureKind, Timestamp};
use serde_json::{Value, json};

use super::finish::{fail_uploads, manifest_ended};
use crate::connect::{SqliteCatalog, Tx, begin};
use crate::error::Fail;

impl SqliteCatalog {
    pub(super) async fn sweep(&self, limit: u32) -> Result<SweepReport, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let clamped = clamp(&mut tx, now).await?;
        let requeued = sqlx::query(
            "UPDATE jobs SET state = 0, due_at = ?1 WHERE id IN (
                SELECT id FROM jobs WHERE backend_id IN (SELECT id FROM backends) AND state <> 0 AND deadline <= ?1 AND state = 1 LIMIT ?2)",
        );
        let requeued = requeued.bind(now).bind(i64::from(limit)).execute(&mut *tx).await?.rows_affected();
        let failed = fail_lost(&mut tx, now).await?;
        let lost = sqlx::query(
            "UPDATE jobs SET state = 0, due_at = ?1, lost_count = lost_count + 1 WHERE id IN (
                SELECT id FROM jobs WHERE backend_id IN (SELECT id FROM backends) AND state <> 0 AND deadline <= ?1 AND state = 2 LIMIT ?2)",
        );
        let lost = lost.bind(now).bind(i64::from(limit)).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(SweepReport { requeued, lost, failed, clamped })
    }

    pub(super) async fn take_over(&self) -> Result<u64, Fail> {
        let mut writer = self.writer().await;
        let done = sqlx::query("UPDATE jobs SET state = 0, due_at = ? WHERE state <> 0");
        Ok(done.bind(self.now()).execute(&mut *writer).await?.rows_affected())
    }

    pub(super) async fn requeue(&self) -> Result<u64, Fail> {
        let mut writer = self.writer().await;
        let done = sqlx::query(
            "UPDATE jobs SET state = 0, due_at = ?
             WHERE backend_id IN (SELECT id FROM backends) AND state <> 0 AND state = 1",
        );
        Ok(done.bind(self.now()).execute(&mut *writer).await?.rows_affected())
    }

    pub(super) async fn live(&self) -> Result<Vec<(BackendId, Depth)>, Fail> {
        let rows = sqlx::query(
            "SELECT backend_id, sum(state = 0) AS pending, sum(state = 0 AND due_at <= ?1) AS due, sum(state = 1) AS queued,
                sum(state = 2) AS leased, min(CASE WHEN state = 0 AND due_at <= ?1 THEN due_at END) AS oldest_due,
                min(CASE WHEN state = 0 AND due_at > ?1 THEN due_at END) AS next_due
             FROM jobs GROUP BY backend_id",
        );
        rows.bind(self.now()).fetch_all(self.readers()).await?.iter().map(jobs::depth).collect()
    }
}

/// What lies further ahead than it can was written before the clock was set back. A job that was never claimed was due when it was
/// made; any other waits for no longer than a retry may. Held jobs get a lease: who holds them may be alive.
async fn clamp(tx: &mut Tx<'_>, now: i64) -> Result<u64, Fail> {
    let after = |delay| Timestamp::from_micros(now).after(delay).as_micros();
    let jobs = sqlx::query(
        "UPDATE jobs SET due_at = CASE WHEN state = 0 THEN ?1 ELSE due_at END, held_until = min(held_until, ?3),
            deadline = CASE state WHEN 1 THEN ?1 WHEN 2 THEN ?4 ELSE deadline END
         WHERE state = 0 AND (due_at > ?2 OR epoch = 0 AND due_at > ?1) OR state <> 0 AND deadline > ?3",
    );
    let jobs = jobs.bind(now).bind(after(RETRY_DELAY_MAX)).bind(after(JOB_HELD_MAX)).bind(after(JOB_LEASE));
    let jobs = jobs.execute(&mut **tx).await?.rows_affected();
    let probes = sqlx::query("UPDATE backends SET probe_at = ?1 WHERE probe_at > ?2");
    let probes = probes.bind(now).bind(after(RETRY_DELAY_MAX));
    Ok(jobs + probes.execute(&mut **tx).await?.rows_affected())
}

/// Jobs whose holders kept disappearing while they held nothing else.
async fn fail_lost(tx: &mut Tx<'_>, now: i64) -> Result<u64, Fail> {
    const TEXT: &str = "workers that held this object alone kept disappearing";
    let rows = sqlx::query(
        "DELETE FROM jobs WHERE backend_id IN (SELECT id FROM backends) AND state <> 0 AND deadline <= ?1 AND state = 2
         AND lost_count + 1 >= ?2
         RETURNING blob_id, backend_id, changeset_id",
    );
    let rows =
        rows.bind(now).bind(i64::from(LOSSES_BEFORE_ALONE + LOSSES_ALONE_MAX)).fetch_all(&mut **tx).await?;
    let mut uploads: Vec<Value> = Vec::new();
    for row in &rows {
        let (blob, backend) = (row.int_opt("blob_id")?, row.int("backend_id")?);
        if let Some(blob) = blob {
            uploads.push(json!([blob, backend, FailureKind::Lost.as_str(), TEXT, 0]));
        } else {
            let which = (row.int("changeset_id")?, backend);
            manifest_ended(tx, which, "failed", Some((FailureKind::Lost, TEXT)), now).await?;
        }
    }
    fail_uploads(tx, &uploads, now).await?;
    Ok(rows.len() as u64)
}
