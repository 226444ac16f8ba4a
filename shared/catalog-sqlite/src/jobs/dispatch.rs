//! Pending → queued, and back.

use std::time::Duration;

use n2s_catalog::rows::{Columns as _, int, jobs};
use n2s_catalog::{Pick, Ticket};
use n2s_domain::fairness::DueGroup;
use n2s_domain::{BackendId, JobId, Timestamp, Traceparent};
use n2s_failpoints::Point;
use sqlx::Row as _;

use crate::connect::{SqliteCatalog, begin, commit};
use crate::decode::{json, rows};
use crate::error::Fail;

impl SqliteCatalog {
    /// Steps from group to group through the index, so that 20 million jobs of one changeset cost as much as one.
    pub(super) async fn groups(&self, backend: BackendId, count_max: u32) -> Result<Vec<DueGroup>, Fail> {
        let now = self.now();
        let closed = sqlx::query(
            "SELECT 1 FROM backends WHERE id = ? AND paused_by IS NULL AND (open_since IS NULL OR probe_at <= ?)",
        );
        if closed.bind(backend.0).bind(now).fetch_optional(self.readers()).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut groups = Vec::new();
        let (mut project, mut changeset) = (i64::MIN, i64::MIN);
        loop {
            let next = sqlx::query(
                "SELECT project_id, changeset_id FROM jobs
                 WHERE backend_id = ? AND state = 0 AND (project_id, changeset_id) > (?, ?)
                 ORDER BY project_id, changeset_id LIMIT 1",
            );
            let next =
                next.bind(backend.0).bind(project).bind(changeset).fetch_optional(self.readers()).await?;
            let Some(next) = next else { return Ok(groups) };
            (project, changeset) = (next.int("project_id")?, next.int("changeset_id")?);
            let due = sqlx::query(
                "SELECT count(*) AS due FROM (SELECT 1 FROM jobs WHERE backend_id = ? AND state = 0 AND project_id = ?
                 AND changeset_id = ? AND due_at <= ? LIMIT ?)",
            );
            let due = due.bind(backend.0).bind(project).bind(changeset).bind(now).bind(i64::from(count_max));
            let due = due.fetch_one(self.readers()).await?.small("due")?;
            if due > 0 {
                groups.push(DueGroup { project, changeset, due });
            }
        }
    }

    pub(super) async fn window(&self, backend: BackendId) -> Result<u64, Fail> {
        let held = sqlx::query("SELECT count(*) AS held FROM jobs WHERE backend_id = ? AND state <> 0");
        held.bind(backend.0).fetch_one(self.readers()).await?.count("held")
    }

    pub(super) async fn queue(
        &self,
        backend: BackendId,
        picks: &[Pick],
        queued_for: Duration,
    ) -> Result<Vec<Ticket>, Fail> {
        let now = Timestamp::from_micros(self.now());
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let mut tickets = Vec::new();
        for pick in picks.iter().filter(|pick| pick.limit > 0) {
            let due = sqlx::query(
                "SELECT json_group_array(json_array(id, dispatch_seq + 1)) FROM (
                    SELECT id, dispatch_seq FROM jobs WHERE backend_id = ?1 AND state = 0 AND changeset_id = ?2 AND due_at <= ?3
                    AND project_id = (SELECT d.project_id FROM changesets c JOIN datasets d ON d.id = c.dataset_id WHERE c.id = ?2)
                    ORDER BY due_at, id LIMIT ?4)",
            );
            let due =
                due.bind(backend.0).bind(pick.changeset).bind(now.as_micros()).bind(i64::from(pick.limit));
            let due = due.fetch_one(&mut *tx).await?;
            let marked = sqlx::query(
                "UPDATE jobs SET state = 1, dispatch_seq = dispatch_seq + 1, deadline = ?2
                 WHERE id IN (SELECT value ->> 0 FROM json_each(?1))",
            );
            let marked = marked.bind(due.try_get::<&str, _>(0)?).bind(now.after(queued_for).as_micros());
            marked.execute(&mut *tx).await?;
            let ticket = |(job, dispatch_seq)| Ticket { job: JobId(job), dispatch_seq };
            tickets.extend(rows(&due)?.into_iter().map(ticket));
        }
        commit(tx, Point::Marked).await?;
        Ok(tickets)
    }

    pub(super) async fn unqueue(&self, tickets: &[Ticket]) -> Result<(), Fail> {
        let list: Vec<_> = tickets.iter().map(|ticket| (ticket.job.0, int(ticket.dispatch_seq))).collect();
        let query = sqlx::query(
            "UPDATE jobs SET state = 0 FROM json_each(?) j
             WHERE jobs.id = j.value ->> 0 AND jobs.dispatch_seq = j.value ->> 1 AND jobs.state = 1",
        );
        self.run(query.bind(json(&list))).await
    }

    pub(super) async fn traces_of(&self, jobs: &[JobId]) -> Result<Vec<(JobId, Traceparent)>, Fail> {
        let ids: Vec<i64> = jobs.iter().map(|job| job.0).collect();
        let rows = sqlx::query(
            "SELECT j.id, c.metadata ->> 'traceparent' AS trace FROM json_each(?) i JOIN jobs j ON j.id = i.value
             JOIN changesets c ON c.id = j.changeset_id WHERE c.metadata ->> 'traceparent' IS NOT NULL",
        );
        let rows = rows.bind(json(&ids)).fetch_all(self.readers()).await?;
        rows.iter().filter_map(|row| jobs::trace(row).transpose()).collect()
    }
}
