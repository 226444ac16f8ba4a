//! See `n2s_catalog::audit`.

use async_trait::async_trait;
use n2s_catalog::rows::operate;
use n2s_catalog::{Audit, CatalogError, Drift};

use crate::connect::PostgresCatalog;
use crate::error::{At as _, Fail};

/// Each query names a counter, what it keeps and what its rows count to. What an abandoned push waits for is being taken
/// down row by row, and nobody reads its counters.
const RECOUNTS: &[&str] = &[
    "SELECT 'backend ' || b.name || ': pending' AS counter, t.pending AS kept,
        (SELECT count(*) FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'pending') AS counted FROM backends b JOIN backend_totals t ON t.backend_id = b.id",
    "SELECT 'backend ' || b.name || ': completed' AS counter, t.completed AS kept,
        (SELECT count(*) FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'completed') AS counted FROM backends b JOIN backend_totals t ON t.backend_id = b.id",
    "SELECT 'backend ' || b.name || ': failed' AS counter, t.failed AS kept,
        (SELECT count(*) FROM blob_backends s WHERE s.backend_id = b.id AND s.status = 'failed') AS counted FROM backends b JOIN backend_totals t ON t.backend_id = b.id",
    "SELECT 'backend ' || b.name || ': bytes' AS counter, t.bytes AS kept,
        (SELECT coalesce(sum(l.encrypted_size), 0)::bigint FROM blob_backends s JOIN blobs l ON l.id = s.blob_id
         WHERE s.backend_id = b.id AND s.status = 'completed') AS counted FROM backends b JOIN backend_totals t ON t.backend_id = b.id",
    "SELECT 'changeset ' || c.changeset_id || ' on ' || c.backend_id || ': waiting' AS counter,
        c.waiting + coalesce((SELECT sum(d.waiting)::bigint FROM completion_deltas d
            WHERE d.changeset_id = c.changeset_id AND d.backend_id = c.backend_id), 0) AS kept,
        (SELECT count(*) FROM placement_waiters w JOIN blob_backends s USING (blob_id, backend_id)
         WHERE w.changeset_id = c.changeset_id AND w.backend_id = c.backend_id AND s.status = 'pending') AS counted
     FROM changeset_backends c JOIN changesets o ON o.id = c.changeset_id WHERE o.abandoned_at IS NULL",
    "SELECT 'changeset ' || c.changeset_id || ' on ' || c.backend_id || ': failed' AS counter,
        c.failed + coalesce((SELECT sum(d.failed)::bigint FROM completion_deltas d
            WHERE d.changeset_id = c.changeset_id AND d.backend_id = c.backend_id), 0) AS kept,
        (SELECT count(*) FROM placement_waiters w JOIN blob_backends s USING (blob_id, backend_id)
         WHERE w.changeset_id = c.changeset_id AND w.backend_id = c.backend_id AND s.status = 'failed') AS counted
     FROM changeset_backends c JOIN changesets o ON o.id = c.changeset_id WHERE o.abandoned_at IS NULL",
    "SELECT 'version ' || c.version || ' of dataset ' || c.dataset_id || ': files' AS counter, c.file_count AS kept,
        (SELECT count(*) FROM files f WHERE f.dataset_id = c.dataset_id AND f.from_version <= c.version
            AND (f.to_version IS NULL OR f.to_version > c.version)) AS counted
     FROM changesets c WHERE c.committed_at IS NOT NULL",
    "SELECT 'version ' || c.version || ' of dataset ' || c.dataset_id || ': bytes' AS counter, c.total_size AS kept,
        (SELECT coalesce(sum(f.size), 0)::bigint FROM files f WHERE f.dataset_id = c.dataset_id AND f.from_version <= c.version
            AND (f.to_version IS NULL OR f.to_version > c.version)) AS counted
     FROM changesets c WHERE c.committed_at IS NOT NULL",
    "SELECT 'pending placements without a job' AS counter, 0::bigint AS kept, (SELECT count(*) FROM blob_backends s
        WHERE s.status = 'pending' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.blob_id = s.blob_id AND j.backend_id = s.backend_id
            AND j.kind = 'upload'))
        AS counted",
    "SELECT 'waiters of completed placements' AS counter, 0::bigint AS kept, (SELECT count(*) FROM placement_waiters w
        JOIN blob_backends s USING (blob_id, backend_id) WHERE s.status = 'completed') AS counted",
];

#[async_trait]
impl Audit for PostgresCatalog {
    async fn audit(&self) -> Result<Vec<Drift>, CatalogError> {
        self.recount().await.at("recount")
    }
}

impl PostgresCatalog {
    async fn recount(&self) -> Result<Vec<Drift>, Fail> {
        // One snapshot for all of it, deltas included; it reads all rows, for as long as there are any.
        let mut tx = self.pool().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        for setting in ["SET LOCAL statement_timeout = 0", "SET LOCAL enable_seqscan = on"] {
            sqlx::query(setting).execute(&mut *tx).await?;
        }
        let mut drifts = Vec::new();
        for recount in RECOUNTS {
            for row in sqlx::query(*recount).fetch_all(&mut *tx).await? {
                drifts.extend(operate::drift(&row)?);
            }
        }
        Ok(drifts)
    }
}
