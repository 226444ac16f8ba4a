//! Pending → queued, and back.

use std::time::Duration;

use n2s_catalog::rows::{Columns as _, int, jobs};
use n2s_catalog::{Pick, Ticket};
use n2s_domain::fairness::DueGroup;
use n2s_domain::{BackendId, JobId, Traceparent};
use n2s_failpoints::{Point, failpoint};
use sqlx::postgres::PgRow;

use crate::connect::PostgresCatalog;
use crate::decode::{arrays, micros};
use crate::error::Fail;

/// Steps from group to group through the index, so that 20 million jobs of one changeset cost as much as one.
const GROUPS: &str = "
    WITH RECURSIVE g AS (
        (SELECT j.project_id, j.changeset_id FROM jobs j
         WHERE j.backend_id = $1 AND NOT j.held ORDER BY j.project_id, j.changeset_id LIMIT 1)
        UNION ALL
        SELECT n.project_id, n.changeset_id FROM g CROSS JOIN LATERAL (
            SELECT j.project_id, j.changeset_id FROM jobs j
            WHERE j.backend_id = $1 AND NOT j.held AND (j.project_id, j.changeset_id) > (g.project_id, g.changeset_id)
            ORDER BY j.project_id, j.changeset_id LIMIT 1) n)
    SELECT g.project_id, g.changeset_id, d.due FROM g CROSS JOIN LATERAL (
        SELECT count(*) AS due FROM (SELECT 1 FROM jobs j WHERE j.backend_id = $1 AND NOT j.held
            AND j.project_id = g.project_id AND j.changeset_id = g.changeset_id AND j.due_at <= n2s_now() LIMIT $2) c) d
    WHERE d.due > 0 AND EXISTS (SELECT 1 FROM backends b WHERE b.id = $1 AND b.paused_by IS NULL
        AND (b.open_since IS NULL OR b.probe_at <= n2s_now()))
    ORDER BY g.project_id, g.changeset_id";

impl PostgresCatalog {
    pub(super) async fn groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, Fail> {
        let rows = sqlx::query(GROUPS)
            .bind(backend.0)
            .bind(i64::from(count_max))
            .fetch_all(&mut *self.link().await?)
            .await?;
        rows.iter().map(jobs::group).collect()
    }

    pub(super) async fn window(&self, backend: BackendId) -> Result<u64, Fail> {
        let held = sqlx::query("SELECT count(*) AS held FROM jobs WHERE backend_id = $1 AND held");
        held.bind(backend.0).fetch_one(&mut *self.link().await?).await?.count("held")
    }

    /// A row that somebody else holds at this moment is passed by: two dispatchers take different jobs. The commit is not waited for on the disk,
    /// of all commits only this one: what a crash takes back is due again under the same number, its message finds the job or is stale, and a
    /// claim that was answered has everything before it on the disk. Rejected: waiting, a tenth of the time between a commit and its upload.
    pub(super) async fn queue(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, Fail> {
        let (changesets, limits) = arrays(picks.iter().map(|pick| (pick.changeset, i64::from(pick.limit))));
        let rows = sqlx::query(
            "WITH due AS MATERIALIZED (
                SELECT p.turn, d.id FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY p (changeset, most, turn) CROSS JOIN LATERAL (
                    SELECT j.id FROM jobs j
                    WHERE j.backend_id = $1 AND NOT j.held AND j.changeset_id = p.changeset AND j.due_at <= n2s_now()
                      AND j.project_id = (SELECT d.project_id FROM changesets c JOIN datasets d ON d.id = c.dataset_id
                        WHERE c.id = p.changeset)
                    ORDER BY j.due_at, j.id LIMIT p.most FOR NO KEY UPDATE SKIP LOCKED) d)
             UPDATE jobs SET state = 1, dispatch_seq = jobs.dispatch_seq + 1,
                deadline = n2s_now() + $4::bigint * interval '1 microsecond'
             FROM due, (SELECT set_config('synchronous_commit', 'off', true)) later WHERE jobs.id = due.id RETURNING due.turn, jobs.id, jobs.dispatch_seq",
        );
        let rows = rows.bind(backend.0).bind(changesets).bind(limits).bind(micros(queued_for));
        let turn = |row: &PgRow| Ok((row.int("turn")?, jobs::ticket(row)?));
        let rows = rows.fetch_all(&mut *self.link().await?).await?;
        failpoint(Point::Marked);
        let mut tickets = rows.iter().map(turn).collect::<Result<Vec<_>, Fail>>()?;
        tickets.sort_unstable_by_key(|(turn, ticket)| (*turn, ticket.job));
        Ok(tickets.into_iter().map(|(_, ticket)| ticket).collect())
    }

    pub(super) async fn unqueue(&self, tickets: &[Ticket]) -> Result<(), Fail> {
        let (ids, seqs) = arrays(tickets.iter().map(|ticket| (ticket.job.0, int(ticket.dispatch_seq))));
        let query = sqlx::query(
            "WITH mine AS MATERIALIZED (
                SELECT j.id FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) t (id, seq) ORDER BY id) t CROSS JOIN LATERAL (
                    SELECT j.id FROM jobs j WHERE j.id = t.id AND j.dispatch_seq = t.seq AND j.state = 1 FOR NO KEY UPDATE) j)
             UPDATE jobs SET state = 0 WHERE id = ANY (ARRAY (SELECT id FROM mine))",
        );
        self.run(query.bind(ids).bind(seqs)).await
    }

    pub(super) async fn traces_of(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, Fail> {
        let ids: Vec<i64> = jobs.iter().map(|job| job.0).collect();
        let rows = sqlx::query(
            "SELECT j.id, c.metadata ->> 'traceparent' AS trace FROM jobs j JOIN changesets c ON c.id = j.changeset_id
             WHERE j.id = ANY ($1) AND c.metadata ? 'traceparent'",
        );
        let rows = rows.bind(ids).fetch_all(&mut *self.link().await?).await?;
        rows.iter().filter_map(|row| jobs::trace(row).transpose()).collect()
    }
}
