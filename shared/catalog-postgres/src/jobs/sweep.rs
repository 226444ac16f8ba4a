//! Deadlines and leases that passed, a clock that was set back, a home that changed hands.

use n2s_catalog::rows::{Columns as _, jobs};
use n2s_catalog::{Depth, SweepReport};
use n2s_domain::limits::{JOB_HELD_MAX, JOB_LEASE, LOSSES_ALONE_MAX, LOSSES_BEFORE_ALONE, RETRY_DELAY_MAX};
use n2s_domain::{BackendId, FailureKind};

use super::finish::{FailedUpload, fail_uploads, manifest_ended};
use crate::connect::{PostgresCatalog, Tx};
use crate::decode::micros;
use crate::error::Fail;

/// Jobs of one state past their deadline, locked; who is being finished or extended at this moment is passed by. Like every sweep, it looks for
/// its few jobs once, as an array: of a join, the planner may look for them again for each job there is.
const LAPSED: &str = "
    UPDATE jobs SET state = 0, due_at = n2s_now(), lost_count = lost_count + $1::int WHERE id = ANY (ARRAY (
        SELECT j.id FROM jobs j WHERE j.backend_id = ANY (ARRAY (SELECT id FROM backends)) AND j.held AND j.state = $2
            AND j.deadline <= n2s_now() LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED))";

impl PostgresCatalog {
    pub(super) async fn sweep(&self, limit: u32) -> Result<SweepReport, Fail> {
        let mut tx = self.begin().await?;
        let clamped = clamp(&mut tx).await?;
        let requeued = lapsed(&mut tx, 1, limit).await?;
        let failed = fail_lost(&mut tx).await?;
        let lost = lapsed(&mut tx, 2, limit).await?;
        tx.commit().await?;
        Ok(SweepReport { requeued, lost, failed, clamped })
    }

    pub(super) async fn take_over(&self) -> Result<u64, Fail> {
        let done = sqlx::query(
            "UPDATE jobs SET state = 0, due_at = n2s_now() WHERE id = ANY (ARRAY (
                SELECT id FROM jobs WHERE held ORDER BY id FOR NO KEY UPDATE))",
        );
        Ok(done.execute(&mut *self.link().await?).await?.rows_affected())
    }

    pub(super) async fn requeue(&self) -> Result<u64, Fail> {
        let done = sqlx::query(
            "UPDATE jobs SET state = 0, due_at = n2s_now() WHERE id = ANY (ARRAY (
                SELECT id FROM jobs WHERE state = 1 AND backend_id = ANY (ARRAY (SELECT id FROM backends)) AND held
                ORDER BY id FOR NO KEY UPDATE))",
        );
        Ok(done.execute(&mut *self.link().await?).await?.rows_affected())
    }

    pub(super) async fn live(&self) -> Result<Vec<(BackendId, Depth)>, Fail> {
        let rows = sqlx::query(
            "SELECT backend_id, count(*) FILTER (WHERE state = 0) AS pending,
                count(*) FILTER (WHERE state = 0 AND due_at <= n2s_now()) AS due, count(*) FILTER (WHERE state = 1) AS queued,
                count(*) FILTER (WHERE state = 2) AS leased,
                min(due_at) FILTER (WHERE state = 0 AND due_at <= n2s_now()) AS oldest_due,
                min(due_at) FILTER (WHERE state = 0 AND due_at > n2s_now()) AS next_due
             FROM jobs GROUP BY backend_id ORDER BY backend_id",
        );
        rows.fetch_all(&mut *self.link().await?).await?.iter().map(jobs::depth).collect()
    }
}

async fn lapsed(tx: &mut Tx, state: i16, limit: u32) -> Result<u64, Fail> {
    let query = sqlx::query(LAPSED).bind(i32::from(state == 2)).bind(state).bind(i64::from(limit));
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

/// What lies further ahead than it can was written before the clock was set back. A job that was never claimed was due when it was
/// made; any other waits for no longer than a retry may. Held jobs get a lease: who holds them may be alive. Steps from group to group like
/// `due_groups`: a scan of all pending jobs at each sweep would grow with them.
async fn clamp(tx: &mut Tx) -> Result<u64, Fail> {
    let pending = sqlx::query(
        "WITH RECURSIVE g AS (
            (SELECT j.backend_id, j.project_id, j.changeset_id FROM jobs j WHERE NOT j.held
             ORDER BY j.backend_id, j.project_id, j.changeset_id LIMIT 1)
            UNION ALL
            SELECT n.backend_id, n.project_id, n.changeset_id FROM g CROSS JOIN LATERAL (
                SELECT j.backend_id, j.project_id, j.changeset_id FROM jobs j WHERE NOT j.held
                   AND (j.backend_id, j.project_id, j.changeset_id) > (g.backend_id, g.project_id, g.changeset_id)
                ORDER BY j.backend_id, j.project_id, j.changeset_id LIMIT 1) n),
         ahead AS MATERIALIZED (SELECT j.id FROM g JOIN jobs j ON j.backend_id = g.backend_id AND j.project_id = g.project_id
                AND j.changeset_id = g.changeset_id AND NOT j.held AND j.due_at > n2s_now()
                AND (j.epoch = 0 OR j.due_at > n2s_now() + $1::bigint * interval '1 microsecond')
            FOR NO KEY UPDATE OF j SKIP LOCKED)
         UPDATE jobs SET due_at = n2s_now() WHERE id = ANY (ARRAY (SELECT id FROM ahead))",
    );
    let held = sqlx::query(
        "UPDATE jobs SET held_until = least(held_until, n2s_now() + $1::bigint * interval '1 microsecond'),
            deadline = CASE state WHEN 1 THEN n2s_now() ELSE n2s_now() + $2::bigint * interval '1 microsecond' END
         WHERE id = ANY (ARRAY (SELECT id FROM jobs WHERE backend_id = ANY (ARRAY (SELECT id FROM backends)) AND held
            AND deadline > n2s_now() + $1::bigint * interval '1 microsecond' FOR NO KEY UPDATE SKIP LOCKED))",
    );
    let probes = sqlx::query(
        "UPDATE backends SET probe_at = n2s_now() WHERE probe_at > n2s_now() + $1::bigint * interval '1 microsecond'",
    );
    let mut clamped = 0;
    for query in [
        pending.bind(micros(RETRY_DELAY_MAX)),
        held.bind(micros(JOB_HELD_MAX)).bind(micros(JOB_LEASE)),
        probes.bind(micros(RETRY_DELAY_MAX)),
    ] {
        clamped += query.execute(&mut **tx).await?.rows_affected();
    }
    Ok(clamped)
}

/// Jobs whose holders kept disappearing while they held nothing else.
async fn fail_lost(tx: &mut Tx) -> Result<u64, Fail> {
    const TEXT: &str = "workers that held this object alone kept disappearing";
    let rows = sqlx::query(
        "DELETE FROM jobs WHERE id = ANY (ARRAY (
            SELECT j.id FROM jobs j WHERE j.backend_id = ANY (ARRAY (SELECT id FROM backends)) AND j.held AND j.state = 2
                AND j.deadline <= n2s_now() AND j.lost_count + 1 >= $1 FOR UPDATE SKIP LOCKED))
         RETURNING blob_id, backend_id, changeset_id",
    );
    let rows = rows.bind(i64::from(LOSSES_BEFORE_ALONE + LOSSES_ALONE_MAX)).fetch_all(&mut **tx).await?;
    let mut uploads = Vec::new();
    for row in &rows {
        let (blob, backend) = (row.int_opt("blob_id")?, row.int("backend_id")?);
        if let Some(blob) = blob {
            let (kind, words) = (FailureKind::Lost, TEXT.to_owned());
            uploads.push(FailedUpload { blob, backend, kind, words, charged: false });
        } else {
            let which = (row.int("changeset_id")?, backend);
            manifest_ended(tx, which, "failed", Some((FailureKind::Lost, TEXT))).await?;
        }
    }
    fail_uploads(tx, &uploads).await?;
    Ok(rows.len() as u64)
}
