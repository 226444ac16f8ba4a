//! See `n2s_catalog::audit`.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use n2s_catalog::rows::{Columns as _, operate};
use n2s_catalog::{Audit, CatalogError, Drift, timed};
use sqlx::Row as _;
use tokio::time::timeout;

use crate::connect::{PostgresCatalog, Tx};
use crate::error::{At as _, Fail};

/// A recount has no limit of its own; so often it is looked at whether it goes on,
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// and so often in a row it may be between two statements.
const IDLE_MAX: u32 = 3;
/// A server that says nothing at all.
const UNHEARD_MAX: Duration = Duration::from_mins(2);

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
        timed!("recount", self.recount()).at("recount")
    }
}

impl PostgresCatalog {
    async fn recount(&self) -> Result<Vec<Drift>, Fail> {
        // One snapshot for all of it, deltas included; it reads all rows, for as long as there are any.
        let mut tx = self.bounded(self.begin_snapshot()).await?;
        let pid = self.bounded(unlimited(&mut tx)).await?;
        tokio::select! {
            counted = count(tx) => counted,
            fail = self.silence_of(pid) => Err(fail),
        }
    }

    /// Returns when nothing more is to be expected of a session: the server says that it does nothing, or says nothing for minutes.
    async fn silence_of(&self, pid: i32) -> Fail {
        let (mut idle, mut heard) = (0, Instant::now());
        while idle < IDLE_MAX && heard.elapsed() < UNHEARD_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
            match timeout(LOOK_EVERY, self.works(pid)).await {
                Ok(Ok(true)) => (idle, heard) = (0, Instant::now()),
                Ok(Ok(false)) => idle += 1,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        self.unheard(heard.elapsed())
    }

    /// Asked on a connection of its own: those of the pool may all be in use for as long as the recount, one of them by itself.
    async fn works(&self, pid: i32) -> Result<bool, Fail> {
        let mut connection = self.connect().await?;
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active') AS works",
        );
        row.bind(pid).fetch_one(&mut connection).await?.flag("works")
    }
}

/// Lets the transaction's statements read whole tables, and take as long as they need for it; answers which session it is.
async fn unlimited(tx: &mut Tx) -> Result<i32, Fail> {
    for setting in ["SET LOCAL statement_timeout = 0", "SET LOCAL enable_seqscan = on"] {
        sqlx::query(setting).execute(&mut **tx).await?;
    }
    Ok(sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut **tx).await?.try_get(0)?)
}

async fn count(mut tx: Tx) -> Result<Vec<Drift>, Fail> {
    let mut drifts = Vec::new();
    for recount in RECOUNTS {
        for row in sqlx::query(*recount).fetch_all(&mut *tx).await? {
            drifts.extend(operate::drift(&row)?);
        }
    }
    Ok(drifts)
}
