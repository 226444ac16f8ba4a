//! What each store has to do and since when, from the ends of indexes.

use n2s_catalog::Backlog;
use n2s_catalog::rows::jobs;
use n2s_domain::BackendId;

use crate::connect::SqliteCatalog;
use crate::error::Fail;

/// The first due job is looked for from changeset to changeset, like `due_groups`; `jobs_held` is as long as the windows are.
const BACKLOGS: &str = "
    WITH RECURSIVE g (backend_id, project_id, changeset_id) AS (
        SELECT * FROM (SELECT backend_id, project_id, changeset_id FROM jobs WHERE state = 0
            ORDER BY backend_id, project_id, changeset_id LIMIT 1)
        UNION ALL
        SELECT n.backend_id, n.project_id, n.changeset_id FROM g JOIN jobs n ON n.id = (
            SELECT j.id FROM jobs j WHERE j.state = 0
                AND (j.backend_id, j.project_id, j.changeset_id) > (g.backend_id, g.project_id, g.changeset_id)
            ORDER BY j.backend_id, j.project_id, j.changeset_id LIMIT 1)),
    due AS MATERIALIZED (
        SELECT backend_id, min(due_at) AS due_at FROM (
            SELECT g.backend_id, (SELECT j.due_at FROM jobs j WHERE j.state = 0 AND j.backend_id = g.backend_id
                AND j.project_id = g.project_id AND j.changeset_id = g.changeset_id ORDER BY j.due_at LIMIT 1) AS due_at FROM g)
        WHERE due_at <= ?1 GROUP BY backend_id),
    held AS MATERIALIZED (
        SELECT backend_id, sum(state = 1) AS queued, sum(state = 2) AS leased, count(blob_id) AS held_uploads,
            min(CASE WHEN state = 1 THEN deadline END) AS queued_until, min(CASE WHEN state = 2 THEN held_until END) AS held_until
        FROM jobs WHERE backend_id IN (SELECT id FROM backends) AND state <> 0 GROUP BY backend_id)
    SELECT b.id AS backend_id, ?1 AS now, coalesce(h.queued, 0) AS queued, coalesce(h.leased, 0) AS leased,
        coalesce(h.held_uploads, 0) AS held_uploads, h.queued_until, h.held_until,
        (SELECT due_at FROM due WHERE backend_id = b.id) AS due_at,
        (SELECT s.attempted_at FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'failed'
         ORDER BY s.attempted_at LIMIT 1) AS failed_at,
        (SELECT coalesce(s.verified_at, s.completed_at) FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'completed'
         ORDER BY coalesce(s.verified_at, s.completed_at), s.blob_id LIMIT 1) AS proven_at,
        (SELECT count(*) FROM blob_backends s WHERE s.backend_id = b.id AND s.damaged_at IS NOT NULL) AS damaged
    FROM backends b LEFT JOIN held h ON h.backend_id = b.id ORDER BY b.id";

impl SqliteCatalog {
    pub(super) async fn waiting(&self) -> Result<Vec<(BackendId, Backlog)>, Fail> {
        let rows = sqlx::query(BACKLOGS).bind(self.now()).fetch_all(self.readers()).await?;
        rows.iter().map(jobs::backlog).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use n2s_domain::{SeededEntropy, SystemClock};
    use sqlx::Row as _;

    use super::*;

    #[tokio::test]
    async fn nothing_is_scanned() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(1)));
        let catalog = SqliteCatalog::open(&dir.path().join("catalog.db"), clock, entropy).await.unwrap();
        assert_eq!(catalog.traces_of(&[n2s_domain::JobId(1)]).await.unwrap(), []);
        let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {BACKLOGS}"));
        let rows = sqlx::query(sql).fetch_all(catalog.readers()).await.unwrap();
        let steps: Vec<_> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
        for index in [
            "jobs_pending (",
            "jobs_held (",
            "blob_backends_failed (",
            "blob_backends_proof (",
            "blob_backends_damaged (",
        ] {
            assert!(steps.iter().any(|step| step.contains(index)), "no {index} in\n{}", steps.join("\n"));
        }
        let scans = |step: &&String| {
            let table =
                ["jobs", "j ", "n ", "s "].iter().any(|table| step.starts_with(&format!("SCAN {table}")));
            // The first group is the first entry of its index.
            table && *step != "SCAN jobs USING COVERING INDEX jobs_pending"
        };
        assert_eq!(steps.iter().find(scans), None, "{}", steps.join("\n"));
    }
}
