//! See `n2s_catalog::completion`.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use n2s_catalog::decisions::settling::{self, Step};
use n2s_catalog::rows::completion::{self, StoreRow};
use n2s_catalog::rows::{Columns as _, pairs};
use n2s_catalog::{CatalogError, Completion, Settled};
use n2s_failpoints::Point;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::json;
use crate::error::{Fail, ask};
use crate::placing::delta;

#[async_trait]
impl Completion for SqliteCatalog {
    async fn fold(&self, limit: u32) -> Result<(Vec<Settled>, bool), CatalogError> {
        ask!("fold completions", self.fold_deltas(limit))
    }
}

impl SqliteCatalog {
    async fn fold_deltas(&self, limit: u32) -> Result<(Vec<Settled>, bool), Fail> {
        let now = self.now();
        if sqlx::query("SELECT 1 FROM completion_deltas LIMIT 1")
            .fetch_optional(self.readers())
            .await?
            .is_none()
        {
            return Ok((Vec::new(), false));
        }
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let touched = add_up(&mut tx, limit).await?;
        let behind = behind(&mut tx, &touched).await?;
        let mut changesets = BTreeSet::new();
        for (changeset, backend) in touched {
            // A counter that is behind may say that nothing is waited for when the push was half entered. Whatever is left to
            // be added up comes back to it.
            if behind.contains(&(changeset, backend)) {
                continue;
            }
            if let Some(store) = store(&mut tx, changeset, backend).await? {
                advance(&mut tx, &store, now).await?;
                changesets.insert(changeset);
            }
        }
        changesets.retain(|changeset| {
            behind.range((*changeset, i64::MIN)..=(*changeset, i64::MAX)).next().is_none()
        });
        let mut settled = Vec::new();
        for changeset in changesets {
            settled.extend(fire(&mut tx, changeset, now).await?);
        }
        commit(tx, Point::Folded).await?;
        Ok((settled, true))
    }
}

/// Applies deltas to their counters; returns which were touched.
async fn add_up(tx: &mut Tx<'_>, limit: u32) -> Result<BTreeSet<(i64, i64)>, Fail> {
    let rows = sqlx::query("SELECT * FROM completion_deltas ORDER BY id LIMIT ?");
    let rows = rows.bind(i64::from(limit)).fetch_all(&mut **tx).await?;
    let mut sums: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    let mut last = 0;
    for row in &rows {
        last = row.int("id")?;
        let sum = sums.entry((row.int("changeset_id")?, row.int("backend_id")?)).or_default();
        sum.0 += row.int("waiting")?;
        sum.1 += row.int("failed")?;
    }
    let list: Vec<_> = sums.iter().map(|((changeset, backend), (w, f))| (changeset, backend, w, f)).collect();
    sqlx::query(
        "UPDATE changeset_backends SET waiting = waiting + (j.value ->> 2), failed = failed + (j.value ->> 3)
         FROM json_each(?) j WHERE changeset_id = j.value ->> 0 AND backend_id = j.value ->> 1",
    )
    .bind(json(&list))
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM completion_deltas WHERE id <= ?").bind(last).execute(&mut **tx).await?;
    Ok(sums.into_keys().collect())
}

/// Of those touched, and on any store of theirs, what still has deltas. Normally none are left at all; a backlog is read once
/// a call.
async fn behind(tx: &mut Tx<'_>, touched: &BTreeSet<(i64, i64)>) -> Result<BTreeSet<(i64, i64)>, Fail> {
    let changesets: BTreeSet<i64> = touched.iter().map(|(changeset, _)| *changeset).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT changeset_id, backend_id FROM completion_deltas
         WHERE changeset_id IN (SELECT value FROM json_each(?))",
    );
    let rows = rows.bind(json(&changesets)).fetch_all(&mut **tx).await?;
    pairs(&rows, ["changeset_id", "backend_id"])
}

/// `None` when the changeset is not committed.
async fn store(tx: &mut Tx<'_>, changeset: i64, backend: i64) -> Result<Option<StoreRow>, Fail> {
    let row = sqlx::query(
        "SELECT s.waiting, s.failed, s.manifest, p.manifest AS parent_manifest, coalesce(p.failed, 0) AS parent_failed, c.parent_id
         FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
         LEFT JOIN changeset_backends p ON p.changeset_id = c.parent_id AND p.backend_id = s.backend_id
         WHERE s.changeset_id = ? AND s.backend_id = ? AND c.committed_at IS NOT NULL",
    );
    let row = row.bind(changeset).bind(backend).fetch_optional(&mut **tx).await?;
    row.map(|row| completion::store(&row, changeset, backend)).transpose()
}

/// Creates the manifest job in the transaction that makes a version whole on a store, or says what blocks it.
async fn advance(tx: &mut Tx<'_>, store: &StoreRow, now: i64) -> Result<(), Fail> {
    match settling::step(store) {
        Step::Rest => return Ok(()),
        Step::Job => {}
        Step::JobUnlessHole => match hole(tx, store).await? {
            Hole::None => {}
            Hole::Pending => return Ok(()),
            Hole::Failed => return set(tx, store, "blocked").await,
        },
        Step::JobIfWhole => {
            if !whole(tx, store).await? {
                return set(tx, store, "blocked").await;
            }
        }
    }
    sqlx::query(
        "INSERT INTO jobs (kind, backend_id, project_id, changeset_id, due_at)
         SELECT 'manifest', ?2, d.project_id, c.id, ?3 FROM changesets c JOIN datasets d ON d.id = c.dataset_id WHERE c.id = ?1
         ON CONFLICT DO NOTHING",
    )
    .bind(store.changeset)
    .bind(store.backend)
    .bind(now)
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
async fn hole(tx: &mut Tx<'_>, store: &StoreRow) -> Result<Hole, Fail> {
    let damaged =
        sqlx::query("SELECT 1 FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = ? LIMIT 1");
    if damaged.bind(store.backend).fetch_optional(&mut **tx).await?.is_none() || whole(tx, store).await? {
        return Ok(Hole::None);
    }
    let pending = sqlx::query(
        "SELECT 1 FROM blob_backends WHERE damaged_at IS NOT NULL AND backend_id = ? AND status = 'pending' LIMIT 1",
    );
    let pending = pending.bind(store.backend).fetch_optional(&mut **tx).await?.is_some();
    Ok(if pending { Hole::Pending } else { Hole::Failed })
}

/// Whether every blob and segment of the version is completed on the store, inherited ones included. Looks at every row: only
/// asked when the version it builds on is not whole there.
async fn whole(tx: &mut Tx<'_>, store: &StoreRow) -> Result<bool, Fail> {
    let missing = sqlx::query(
        "WITH v AS (SELECT dataset_id, version FROM changesets WHERE id = ?1),
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
            WHERE s.blob_id = n.blob_id AND s.backend_id = ?2 AND s.status = 'completed') LIMIT 1",
    );
    Ok(missing.bind(store.changeset).bind(store.backend).fetch_optional(&mut **tx).await?.is_none())
}

async fn set(tx: &mut Tx<'_>, store: &StoreRow, manifest: &'static str) -> Result<(), Fail> {
    if store.manifest == manifest {
        return Ok(());
    }
    sqlx::query("UPDATE changeset_backends SET manifest = ?3 WHERE changeset_id = ?1 AND backend_id = ?2")
        .bind(store.changeset)
        .bind(store.backend)
        .bind(manifest)
        .execute(&mut **tx)
        .await?;
    if manifest == "blocked" {
        wake_children(tx, store.changeset, store.backend).await?;
    }
    Ok(())
}

async fn wake_children(tx: &mut Tx<'_>, changeset: i64, backend: i64) -> Result<(), Fail> {
    let rows = sqlx::query("SELECT id FROM changesets WHERE parent_id = ? AND committed_at IS NOT NULL");
    for row in rows.bind(changeset).fetch_all(&mut **tx).await? {
        delta(tx, row.int("id")?, backend, 0, 0).await?;
    }
    Ok(())
}

/// Settles a changeset once per generation.
async fn fire(tx: &mut Tx<'_>, changeset: i64, now: i64) -> Result<Option<Settled>, Fail> {
    let rows = sqlx::query("SELECT * FROM changeset_backends WHERE changeset_id = ?");
    let rows = rows.bind(changeset).fetch_all(&mut **tx).await?;
    let stores = rows.iter().map(completion::progress).collect::<Result<Vec<_>, Fail>>()?;
    for row in &rows {
        // What builds on a version that failed here must look again.
        if row.int("failed")? > 0 {
            wake_stuck_children(tx, changeset, row.int("backend_id")?).await?;
        }
    }
    let row = sqlx::query(
        "SELECT uuid, status, generation, min_copies, completed_at IS NOT NULL AS settled FROM changesets WHERE id = ?",
    );
    let row = row.bind(changeset).fetch_one(&mut **tx).await?;
    let open = completion::open(&row)?;
    let Some(status) = settling::verdict(&open, &stores) else { return Ok(None) };
    sqlx::query("UPDATE changesets SET status = ?3, completed_at = ?4 WHERE id = ?1 AND generation = ?2")
        .bind(changeset)
        .bind(open.generation)
        .bind(status.as_str())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(Some(Settled { changeset: open.changeset, status }))
}

/// Only children that are still waiting for this version: otherwise the fold would never come to rest.
async fn wake_stuck_children(tx: &mut Tx<'_>, changeset: i64, backend: i64) -> Result<(), Fail> {
    let rows = sqlx::query(
        "SELECT c.id FROM changesets c JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = ?2
         WHERE c.parent_id = ?1 AND c.committed_at IS NOT NULL AND s.manifest = 'waiting' AND s.waiting = 0 AND s.failed = 0",
    );
    for row in rows.bind(changeset).bind(backend).fetch_all(&mut **tx).await? {
        delta(tx, row.int("id")?, backend, 0, 0).await?;
    }
    Ok(())
}
