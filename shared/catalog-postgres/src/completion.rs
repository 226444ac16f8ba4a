//! See `n2s_catalog::completion`. Folds take turns on an advisory lock, so what one reads of a changeset nobody else folds meanwhile.
//!
//! Whoever ends a manifest cannot know which versions are being committed on top of it at that moment, so it only leaves a delta for its own:
//! the fold that takes it wakes the versions built on it, and a version that commits later leaves its own delta. Either way some fold sees both.

use std::collections::BTreeSet;

use async_trait::async_trait;
use n2s_catalog::decisions::settling::{self, Step};
use n2s_catalog::rows::completion::{self, StoreRow};
use n2s_catalog::rows::{Columns as _, pairs};
use n2s_catalog::{CatalogError, Completion, Settled};
use n2s_failpoints::Point;
use sqlx::PgConnection;

use crate::connect::{PostgresCatalog, Tx, commit};
use crate::error::{Fail, transact};

/// Taken for the length of a fold.
const TURN: i64 = 0x6e32_7300_0000_0002;
/// Totals of stores added up at once.
const TOTALS_MAX: i64 = 20_000;

#[async_trait]
impl Completion for PostgresCatalog {
    async fn fold(&self, limit: u32) -> Result<(Vec<Settled>, bool), CatalogError> {
        transact!(self, "fold completions", self.fold_deltas(limit))
    }
}

impl PostgresCatalog {
    async fn fold_deltas(&self, limit: u32) -> Result<(Vec<Settled>, bool), Fail> {
        let waiting = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM completion_deltas) AS changesets, EXISTS (SELECT 1 FROM backend_deltas) AS totals",
        );
        let waiting = waiting.fetch_one(&mut *self.link().await?).await?;
        let (changesets, totals) = (waiting.flag("changesets")?, waiting.flag("totals")?);
        if !changesets && !totals {
            return Ok((Vec::new(), false));
        }
        if totals {
            // By themselves: the stores' rows are not held while changesets are settled, since workers report health into them.
            add_totals(&mut *self.link().await?).await?;
        }
        let mut tx = self.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *tx).await?;
        let touched = add_up(&mut tx, limit).await?;
        let behind = behind(&mut tx, &touched).await?;
        let mut changesets = BTreeSet::new();
        for &(changeset, backend) in &touched {
            // A counter that is behind may say that nothing is waited for when the push was half entered. Whatever is left to
            // be added up comes back to it.
            if behind.contains(&(changeset, backend)) {
                continue;
            }
            if let Some(store) = store(&mut tx, changeset, backend).await? {
                let manifest = advance(&mut tx, &store).await?;
                wake_children(&mut tx, &store, manifest).await?;
                changesets.insert(changeset);
            }
        }
        let mut settled = Vec::new();
        for changeset in changesets {
            settled.extend(fire(&mut tx, changeset).await?);
        }
        commit(tx, Point::Folded).await?;
        Ok((settled, !touched.is_empty()))
    }
}

/// Moves appended totals into the stores' rows. Each delta is added by whoever deletes it.
async fn add_totals(connection: &mut PgConnection) -> Result<(), Fail> {
    sqlx::query(
        "WITH taken AS (
            DELETE FROM backend_deltas WHERE id IN (SELECT id FROM backend_deltas ORDER BY id LIMIT $1)
            RETURNING backend_id, pending, completed, failed, bytes),
         sums AS (SELECT backend_id, sum(pending)::bigint AS pending, sum(completed)::bigint AS completed,
                sum(failed)::bigint AS failed, sum(bytes)::bigint AS bytes FROM taken GROUP BY backend_id)
         UPDATE backends b SET pending = b.pending + s.pending, completed = b.completed + s.completed,
            failed = b.failed + s.failed, bytes = b.bytes + s.bytes
         FROM sums s WHERE b.id = s.backend_id",
    )
    .bind(TOTALS_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

/// Applies deltas to their counters; returns which were touched. Takes exactly the deltas it has seen: ones with lower ids may be
/// committed later.
async fn add_up(tx: &mut Tx, limit: u32) -> Result<BTreeSet<(i64, i64)>, Fail> {
    let rows = sqlx::query(
        "WITH taken AS (
            DELETE FROM completion_deltas WHERE id IN (SELECT id FROM completion_deltas ORDER BY id LIMIT $1)
            RETURNING changeset_id, backend_id, waiting, failed),
         sums AS (SELECT changeset_id, backend_id, sum(waiting)::bigint AS waiting, sum(failed)::bigint AS failed
            FROM taken GROUP BY changeset_id, backend_id),
         added AS (UPDATE changeset_backends c SET waiting = c.waiting + s.waiting, failed = c.failed + s.failed
            FROM sums s WHERE c.changeset_id = s.changeset_id AND c.backend_id = s.backend_id AND (s.waiting <> 0 OR s.failed <> 0))
         SELECT changeset_id, backend_id FROM sums",
    );
    let rows = rows.bind(i64::from(limit)).fetch_all(&mut **tx).await?;
    pairs(&rows, ["changeset_id", "backend_id"])
}

/// What still has deltas, of the changesets touched. Normally none are left at all.
async fn behind(tx: &mut Tx, touched: &BTreeSet<(i64, i64)>) -> Result<BTreeSet<(i64, i64)>, Fail> {
    let changesets: BTreeSet<i64> = touched.iter().map(|(changeset, _)| *changeset).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT changeset_id, backend_id FROM completion_deltas WHERE changeset_id = ANY ($1)",
    );
    let rows = rows.bind(changesets.into_iter().collect::<Vec<_>>()).fetch_all(&mut **tx).await?;
    pairs(&rows, ["changeset_id", "backend_id"])
}

/// `None` when the changeset is not committed. Holds the row, which a worker that ends its manifest also changes.
async fn store(tx: &mut Tx, changeset: i64, backend: i64) -> Result<Option<StoreRow>, Fail> {
    let row = sqlx::query(
        "SELECT s.waiting, s.failed, s.manifest, p.manifest AS parent_manifest, coalesce(p.failed, 0) AS parent_failed, c.parent_id
         FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
         LEFT JOIN changeset_backends p ON p.changeset_id = c.parent_id AND p.backend_id = s.backend_id
         WHERE s.changeset_id = $1 AND s.backend_id = $2 AND c.committed_at IS NOT NULL FOR NO KEY UPDATE OF s",
    );
    let row = row.bind(changeset).bind(backend).fetch_optional(&mut **tx).await?;
    row.map(|row| completion::store(&row, changeset, backend)).transpose()
}

/// Creates the manifest job in the transaction that makes a version whole on a store, or says what blocks it. Returns what the
/// manifest is then.
async fn advance<'s>(tx: &mut Tx, store: &'s StoreRow) -> Result<&'s str, Fail> {
    match settling::step(store) {
        Step::Rest if store.is_open() => return Ok("waiting"),
        Step::Rest => return Ok(&store.manifest),
        Step::Job => {}
        Step::JobUnlessHole => match hole(tx, store).await? {
            Hole::None => {}
            Hole::Pending => return Ok("waiting"),
            Hole::Failed => return set(tx, store, "blocked").await,
        },
        Step::JobIfWhole => {
            if !whole(tx, store).await? {
                return set(tx, store, "blocked").await;
            }
        }
    }
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id)
         SELECT 'manifest', $2, d.project_id, c.id FROM changesets c JOIN datasets d ON d.id = c.dataset_id WHERE c.id = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(store.changeset)
    .bind(store.backend)
    .execute(&mut **tx)
    .await?;
    set(tx, store, "pending").await
}

/// What is missing of a version on a store.
enum Hole {
    None,
    /// It is being replaced; its end wakes whoever waits.
    Pending,
    Failed,
}

/// Normally one look into an empty index: only where something is damaged every row is looked at.
async fn hole(tx: &mut Tx, store: &StoreRow) -> Result<Hole, Fail> {
    let damaged =
        sqlx::query("SELECT 1 FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = $1 LIMIT 1");
    if damaged.bind(store.backend).fetch_optional(&mut **tx).await?.is_none() || whole(tx, store).await? {
        return Ok(Hole::None);
    }
    let pending = sqlx::query(
        "SELECT 1 FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = $1 AND status = 'pending' LIMIT 1",
    );
    let pending = pending.bind(store.backend).fetch_optional(&mut **tx).await?.is_some();
    Ok(if pending { Hole::Pending } else { Hole::Failed })
}

/// Whether every blob and segment of the version is completed on the store, inherited ones included. Looks at every row: only
/// asked when the version it builds on is not whole there.
async fn whole(tx: &mut Tx, store: &StoreRow) -> Result<bool, Fail> {
    let missing = sqlx::query(
        "WITH v AS (SELECT dataset_id, version FROM changesets WHERE id = $1),
         needed AS (
            SELECT f.blob_id FROM v JOIN files f ON f.dataset_id = v.dataset_id AND f.from_version <= v.version
                AND (f.to_version IS NULL OR f.to_version > v.version) WHERE f.blob_id IS NOT NULL
            UNION SELECT p.blob_id FROM v JOIN files f ON f.dataset_id = v.dataset_id AND f.from_version <= v.version
                AND (f.to_version IS NULL OR f.to_version > v.version) JOIN file_blobs p ON p.file_id = f.id
            UNION SELECT s.blob_id FROM v JOIN manifest_groups g ON g.dataset_id = v.dataset_id AND g.through <= v.version
                AND g.through >= coalesce((SELECT max(b.through) FROM manifest_groups b WHERE b.dataset_id = v.dataset_id
                    AND b.kind = g.kind AND b.since = 0 AND b.through <= v.version), 0)
                JOIN manifest_segments s ON s.group_id = g.id)
         SELECT 1 FROM needed n WHERE NOT EXISTS (SELECT 1 FROM blob_backends s
            WHERE s.blob_id = n.blob_id AND s.backend_id = $2 AND s.status = 'completed') LIMIT 1",
    );
    Ok(missing.bind(store.changeset).bind(store.backend).fetch_optional(&mut **tx).await?.is_none())
}

async fn set(tx: &mut Tx, store: &StoreRow, manifest: &'static str) -> Result<&'static str, Fail> {
    if store.manifest != manifest {
        sqlx::query(
            "UPDATE changeset_backends SET manifest = $3 WHERE changeset_id = $1 AND backend_id = $2",
        )
        .bind(store.changeset)
        .bind(store.backend)
        .bind(manifest)
        .execute(&mut **tx)
        .await?;
    }
    Ok(manifest)
}

/// What builds on a version whose fate here is known, or that failed here, must look again. Only children that can move are woken,
/// each by one delta and never its parent: the fold comes to rest at the youngest.
async fn wake_children(tx: &mut Tx, store: &StoreRow, manifest: &str) -> Result<(), Fail> {
    if store.failed == 0 && !matches!(manifest, "completed" | "failed" | "blocked") {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO completion_deltas (changeset_id, backend_id, waiting, failed)
         SELECT c.id, s.backend_id, 0, 0 FROM changesets c JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = $2
         WHERE c.parent_id = $1 AND c.committed_at IS NOT NULL AND s.manifest IN ('waiting', 'blocked') AND s.waiting <= 0 AND s.failed = 0",
    )
    .bind(store.changeset)
    .bind(store.backend)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Settles a changeset once per generation.
async fn fire(tx: &mut Tx, changeset: i64) -> Result<Option<Settled>, Fail> {
    // Locked first: a retry that reopens it meanwhile is seen, or comes after.
    let row = sqlx::query(
        "SELECT uuid, status, generation, min_copies, completed_at IS NOT NULL AS settled FROM changesets WHERE id = $1 FOR NO KEY UPDATE",
    );
    let row = row.bind(changeset).fetch_one(&mut **tx).await?;
    // A retry that committed after the deltas were taken: its own will be, and then this changeset's turn comes again.
    let more = sqlx::query("SELECT 1 FROM completion_deltas WHERE changeset_id = $1 LIMIT 1");
    if more.bind(changeset).fetch_optional(&mut **tx).await?.is_some() {
        return Ok(None);
    }
    let rows =
        sqlx::query("SELECT waiting, failed, manifest FROM changeset_backends WHERE changeset_id = $1");
    let rows = rows.bind(changeset).fetch_all(&mut **tx).await?;
    let stores = rows.iter().map(completion::progress).collect::<Result<Vec<_>, Fail>>()?;
    let open = completion::open(&row)?;
    let Some(status) = settling::verdict(&open, &stores) else { return Ok(None) };
    let fired = sqlx::query(
        "UPDATE changesets SET status = $3, completed_at = n2s_now() WHERE id = $1 AND generation = $2",
    );
    let fired = fired.bind(changeset).bind(open.generation).bind(status.as_str());
    let fired = fired.execute(&mut **tx).await?.rows_affected() == 1;
    Ok(fired.then_some(Settled { changeset: open.changeset, status }))
}
