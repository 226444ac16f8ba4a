//! See `n2s_catalog::syncing`.
//!
//! While rows are being added the manifest's state is `syncing`, in which the folder leaves it alone: the blobs of the first steps
//! may all be there before the last step has asked for its own.

use async_trait::async_trait;
use n2s_catalog::rows::pushes::{OpenRow, open_row};
use n2s_catalog::rows::{Columns as _, column, files};
use n2s_catalog::{CatalogError, SyncStep, Syncing};
use n2s_domain::{BackendName, ChangesetId, DatasetName, ProjectName};

use crate::connect::{PostgresCatalog, Tx};
use crate::error::{Fail, transact};
use crate::placing::{delta, next_generation, place};

#[async_trait]
impl Syncing for PostgresCatalog {
    async fn begin_sync(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        backend: &BackendName,
    ) -> Result<Option<ChangesetId>, CatalogError> {
        transact!(self, "begin a sync", self.begin_one(project, dataset, backend))
    }

    async fn sync_step(
        &self,
        changeset: ChangesetId,
        backend: &BackendName,
        from: i64,
        limit: u32,
    ) -> Result<SyncStep, CatalogError> {
        transact!(self, "sync a store", self.step(changeset, backend, from, limit))
    }

    async fn end_sync(&self, changeset: ChangesetId, backend: &BackendName) -> Result<(), CatalogError> {
        transact!(self, "end a sync", self.end(changeset, backend))
    }
}

impl PostgresCatalog {
    async fn begin_one(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        backend: &BackendName,
    ) -> Result<Option<ChangesetId>, Fail> {
        let (found, _) = self.dataset(project, dataset).await?;
        let mut tx = self.begin().await?;
        let store = store(&mut tx, backend).await?;
        // The dataset first, as `open` and `commit` do: the head stays the head meanwhile.
        let lock = sqlx::query("SELECT 1 FROM datasets WHERE id = $1 FOR NO KEY UPDATE");
        lock.bind(found).execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO dataset_backends (dataset_id, backend_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(found)
        .bind(store)
        .execute(&mut *tx)
        .await?;
        let head = sqlx::query(
            "SELECT c.id, c.uuid, s.manifest FROM datasets d JOIN changesets c ON c.id = d.head_id
             LEFT JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = $2 WHERE d.id = $1",
        );
        let Some(head) = head.bind(found).bind(store).fetch_optional(&mut *tx).await? else {
            tx.commit().await?;
            return Ok(None);
        };
        let manifest = head.text_opt("manifest")?;
        if manifest.is_some_and(|state| !matches!(state, "syncing" | "blocked" | "failed")) {
            tx.commit().await?;
            return Ok(None);
        }
        let id: i64 = head.int("id")?;
        sqlx::query(
            "INSERT INTO changeset_backends (changeset_id, backend_id, manifest) VALUES ($1, $2, 'syncing')
             ON CONFLICT (changeset_id, backend_id) DO UPDATE SET manifest = 'syncing'",
        )
        .bind(id)
        .bind(store)
        .execute(&mut *tx)
        .await?;
        next_generation(&mut tx, id).await?;
        tx.commit().await?;
        Ok(Some(head.changeset("uuid")?))
    }

    async fn step(
        &self,
        changeset: ChangesetId,
        backend: &BackendName,
        from: i64,
        limit: u32,
    ) -> Result<SyncStep, Fail> {
        let mut tx = self.begin().await?;
        let store = store(&mut tx, backend).await?;
        let push = pushed(&mut tx, changeset, store).await?;
        let files = sqlx::query(
            "SELECT id, blob_id FROM files WHERE id > $1 AND dataset_id = $2 AND from_version <= $3
               AND (to_version IS NULL OR to_version > $3) ORDER BY id LIMIT $4",
        );
        let files = files.bind(from).bind(push.dataset).bind(push.version).bind(i64::from(limit));
        let files = files.fetch_all(&mut *tx).await?;
        let (mut blobs, several, last) = files::by_blobs(&files, from)?;
        let pieces = sqlx::query("SELECT DISTINCT p.blob_id FROM file_blobs p WHERE p.file_id = ANY ($1)");
        blobs.extend(column(&pieces.bind(several).fetch_all(&mut *tx).await?, "blob_id")?);
        let ended = files.len() < limit as usize;
        if ended {
            blobs.extend(segments(&mut tx, &push).await?);
        }
        blobs.sort_unstable();
        blobs.dedup();
        let lock = sqlx::query("SELECT id FROM blobs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE");
        lock.bind(&blobs).execute(&mut *tx).await?;
        let jobs = place(&mut tx, &push, &blobs).await?;
        tx.commit().await?;
        Ok(SyncStep { next: (!ended).then_some(last), jobs })
    }

    async fn end(&self, changeset: ChangesetId, backend: &BackendName) -> Result<(), Fail> {
        let mut tx = self.begin().await?;
        let store = store(&mut tx, backend).await?;
        let push = pushed(&mut tx, changeset, store).await?;
        sqlx::query(
            "UPDATE changeset_backends SET manifest = 'waiting' WHERE changeset_id = $1 AND backend_id = $2 AND manifest = 'syncing'",
        )
        .bind(push.id)
        .bind(store)
        .execute(&mut *tx)
        .await?;
        delta(&mut tx, push.id, store, 0, 0).await?;
        tx.commit().await
    }
}

async fn store(tx: &mut Tx, backend: &BackendName) -> Result<i64, Fail> {
    let row = sqlx::query("SELECT id FROM backends WHERE name = $1").bind(backend.as_str().to_owned());
    if let Some(row) = row.fetch_optional(&mut **tx).await? {
        return row.int("id");
    }
    Err(CatalogError::unknown("backend", backend, "; `n2s backends list` shows them").into())
}

/// The changeset as if it were being pushed to this one store.
async fn pushed(tx: &mut Tx, changeset: ChangesetId, store: i64) -> Result<OpenRow, Fail> {
    let row = sqlx::query(
        "SELECT c.id, c.dataset_id, c.version, c.parent_id, c.min_copies, d.project_id FROM changesets c
         JOIN datasets d ON d.id = c.dataset_id WHERE c.uuid = $1 AND c.committed_at IS NOT NULL",
    );
    let row = row.bind(changeset.0).fetch_optional(&mut **tx).await?;
    let row = row.ok_or_else(|| CatalogError::unknown("changeset", &changeset, ""))?;
    open_row(&row, vec![store])
}

/// The segments of the version's lists, from the last base on.
async fn segments(tx: &mut Tx, push: &OpenRow) -> Result<Vec<i64>, Fail> {
    let rows = sqlx::query(
        "SELECT s.blob_id FROM manifest_groups g JOIN manifest_segments s ON s.group_id = g.id
         WHERE g.dataset_id = $1 AND g.through <= $2
           AND g.through >= coalesce((SELECT max(b.through) FROM manifest_groups b WHERE b.dataset_id = $1
               AND b.kind = g.kind AND b.since = 0 AND b.through <= $2), 0)",
    );
    let rows = rows.bind(push.dataset).bind(push.version).fetch_all(&mut **tx).await?;
    column(&rows, "blob_id")
}
