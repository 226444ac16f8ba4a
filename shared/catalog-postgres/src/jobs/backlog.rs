//! What each store has to do and since when, from the ends of indexes.

use n2s_catalog::Backlog;
use n2s_catalog::rows::jobs;
use n2s_domain::BackendId;

use crate::connect::PostgresCatalog;
use crate::error::Fail;

/// The first due job is looked for from changeset to changeset, like `due_groups`; `jobs_held` is as long as the windows are.
const BACKLOGS: &str = "
    WITH RECURSIVE g AS (
        (SELECT j.backend_id, j.project_id, j.changeset_id FROM jobs j WHERE NOT j.held
         ORDER BY j.backend_id, j.project_id, j.changeset_id LIMIT 1)
        UNION ALL
        SELECT n.backend_id, n.project_id, n.changeset_id FROM g CROSS JOIN LATERAL (
            SELECT j.backend_id, j.project_id, j.changeset_id FROM jobs j WHERE NOT j.held
               AND (j.backend_id, j.project_id, j.changeset_id) > (g.backend_id, g.project_id, g.changeset_id)
            ORDER BY j.backend_id, j.project_id, j.changeset_id LIMIT 1) n),
    due AS MATERIALIZED (
        SELECT g.backend_id, min(d.due_at) AS due_at FROM g CROSS JOIN LATERAL (
            SELECT j.due_at FROM jobs j WHERE NOT j.held AND j.backend_id = g.backend_id AND j.project_id = g.project_id
                AND j.changeset_id = g.changeset_id ORDER BY j.due_at LIMIT 1) d
        WHERE d.due_at <= n2s_now() GROUP BY g.backend_id)
    SELECT b.id AS backend_id, n2s_now() AS now, h.queued, h.leased, h.held_uploads, h.queued_until, h.held_until,
        (SELECT d.due_at FROM due d WHERE d.backend_id = b.id) AS due_at,
        (SELECT s.attempted_at FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'failed'
         ORDER BY s.attempted_at LIMIT 1) AS failed_at,
        (SELECT coalesce(s.verified_at, s.completed_at) FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'completed'
         ORDER BY coalesce(s.verified_at, s.completed_at), s.blob_id LIMIT 1) AS proven_at,
        (SELECT count(*) FROM blob_backends s WHERE s.backend_id = b.id AND s.damaged_at IS NOT NULL) AS damaged
    FROM backends b CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE j.state = 1) AS queued, count(*) FILTER (WHERE j.state = 2) AS leased,
            count(j.blob_id) AS held_uploads, min(j.deadline) FILTER (WHERE j.state = 1) AS queued_until,
            min(j.held_until) FILTER (WHERE j.state = 2) AS held_until
        FROM jobs j WHERE j.backend_id = b.id AND j.held) h
    ORDER BY b.id";

impl PostgresCatalog {
    pub(super) async fn waiting(&self) -> Result<Vec<(BackendId, Backlog)>, Fail> {
        sqlx::query(BACKLOGS).fetch_all(&mut *self.link().await?).await?.iter().map(jobs::backlog).collect()
    }
}
