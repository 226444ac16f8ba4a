//! Opening and resuming, under the dataset's row lock.

use std::collections::BTreeMap;

use n2s_catalog::decisions::opening::{Fate, check_fixed, check_vault, fate, first_stores, min_copies};
use n2s_catalog::rows::pushes::Recorded;
use n2s_catalog::rows::{Columns as _, backends, pushes};
use n2s_catalog::{CatalogError, OpenPush, OpenedPush};
use n2s_domain::{BackendName, DatasetName, ProjectName, StoreKey, VaultId};
use n2s_failpoints::Point;
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx, commit};
use crate::decode::{micros, text};
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn open_one(&self, open: &OpenPush) -> Result<OpenedPush, Fail> {
        let mut tx = self.begin().await?;
        let project = project(&mut tx, (&open.project, open.vault)).await?;
        let dataset = dataset(&mut tx, project, (&open.dataset, open.store_key)).await?;
        fix_backends(&mut tx, dataset, &open.backends).await?;
        let found = sqlx::query(
            "SELECT id, uuid, abandoned_at, lease_until, client_id, lease_until <= n2s_now() AS lapsed FROM changesets
             WHERE dataset_id = $1 AND committed_at IS NULL AND undone_at IS NULL FOR NO KEY UPDATE",
        )
        .bind(dataset)
        .fetch_optional(&mut *tx)
        .await?;
        let resumed = match found {
            None => None,
            Some(row) => Some(resume(&mut tx, &row, open).await?),
        };
        let (id, resumed) = match resumed {
            // Committed even though the answer is a refusal: the undo has begun.
            Some(None) => {
                tx.commit().await?;
                return Err(CatalogError::Undoing(open.changeset).into());
            }
            Some(Some((id, recorded))) => (id, Some(recorded)),
            None => (create(&mut tx, dataset, open).await?, None),
        };
        let opened = opened(&mut tx, id, project, open, resumed).await?;
        commit(tx, Point::PushOpened).await?;
        Ok(opened)
    }
}

/// The project's row; made, and bound to the vault, when absent.
pub(super) async fn project(tx: &mut Tx, (name, vault): (&ProjectName, VaultId)) -> Result<i64, Fail> {
    sqlx::query("INSERT INTO projects (name, vault_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name.to_string())
        .bind(vault.0.to_vec())
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT id, vault_id FROM projects WHERE name = $1")
        .bind(name.to_string())
        .fetch_one(&mut **tx)
        .await?;
    check_vault(name, vault, row.vault()?)?;
    row.int("id")
}

/// The dataset's row; made when absent.
pub(super) async fn dataset(
    tx: &mut Tx,
    project: i64,
    (name, store_key): (&DatasetName, StoreKey),
) -> Result<i64, Fail> {
    sqlx::query(
        "INSERT INTO datasets (project_id, name, store_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(project)
    .bind(name.to_string())
    .bind(store_key.0.to_vec())
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("SELECT id FROM datasets WHERE project_id = $1 AND name = $2 FOR NO KEY UPDATE")
        .bind(project)
        .bind(name.to_string())
        .fetch_one(&mut **tx)
        .await?;
    row.int("id")
}

/// The dataset's stores: chosen by its first push, the same ever after.
async fn fix_backends(tx: &mut Tx, dataset: i64, given: &[BackendName]) -> Result<(), Fail> {
    let fixed = backend_names(tx, dataset).await?;
    if !fixed.is_empty() {
        return Ok(check_fixed(&fixed, given)?);
    }
    let rows = sqlx::query("SELECT id, name FROM backends ORDER BY name").fetch_all(&mut **tx).await?;
    let known = rows.iter().map(backends::named).collect::<Result<Vec<_>, Fail>>()?;
    for id in first_stores(&known, given)? {
        sqlx::query("INSERT INTO dataset_backends (dataset_id, backend_id) VALUES ($1, $2)")
            .bind(dataset)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn backend_names(tx: &mut Tx, dataset: i64) -> Result<Vec<BackendName>, Fail> {
    let rows = sqlx::query(
        "SELECT b.name FROM dataset_backends d JOIN backends b ON b.id = d.backend_id WHERE d.dataset_id = $1 ORDER BY b.name",
    );
    rows.bind(dataset).fetch_all(&mut **tx).await?.iter().map(|row| row.word("name")).collect()
}

/// What becomes of the open push: resumed (its row, highest batch and number of batches), or, `None`, given up.
async fn resume(tx: &mut Tx, row: &PgRow, open: &OpenPush) -> Result<Option<(i64, Recorded)>, Fail> {
    let found = pushes::pending(row)?;
    if fate(open, &found, row.flag("lapsed")?)? == Fate::Abandoned {
        let abandon =
            sqlx::query("UPDATE changesets SET abandoned_at = n2s_now(), lease_token = NULL WHERE id = $1");
        abandon.bind(found.id).execute(&mut **tx).await?;
        return Ok(None);
    }
    sqlx::query(
        "UPDATE changesets SET lease_token = $1, lease_until = n2s_now() + $2::bigint * interval '1 microsecond',
            touched_at = n2s_now() WHERE id = $3",
    )
    .bind(open.token.0)
    .bind(micros(open.lease))
    .bind(found.id)
    .execute(&mut **tx)
    .await?;
    let last = sqlx::query(
        "SELECT coalesce(max(batch), 0) AS batch, count(*) AS batches FROM push_batches WHERE changeset_id = $1",
    );
    let last = last.bind(found.id).fetch_one(&mut **tx).await?;
    Ok(Some((found.id, pushes::recorded(&last)?)))
}

async fn create(tx: &mut Tx, dataset: i64, open: &OpenPush) -> Result<i64, Fail> {
    let stores = backend_names(tx, dataset).await?.len();
    let metadata: BTreeMap<String, String> =
        open.metadata.iter().map(|(key, value)| (text(key), text(value))).collect();
    let metadata = serde_json::to_string(&metadata).expect("a map of texts serialises");
    let row = sqlx::query(
        "INSERT INTO changesets (uuid, dataset_id, version, parent_id, source_snapshot, description, client_id, metadata, status,
            min_copies, touched_at, lease_token, lease_until, file_count, total_size)
         SELECT $1, d.id, d.next_version, d.head_id, $3, $4, $5, $6::text::jsonb, 'pending', $7, n2s_now(), $8,
            n2s_now() + $9::bigint * interval '1 microsecond', coalesce(p.file_count, 0), coalesce(p.total_size, 0)
         FROM datasets d LEFT JOIN changesets p ON p.id = d.head_id WHERE d.id = $2
         RETURNING id",
    )
    .bind(open.changeset.0)
    .bind(dataset)
    .bind(open.snapshot.as_deref().map(text))
    .bind(open.description.as_deref().map(text))
    .bind(text(&open.client_id))
    .bind(metadata)
    .bind(min_copies(open, stores))
    .bind(open.token.0)
    .bind(micros(open.lease))
    .fetch_one(&mut **tx)
    .await?;
    let id = row.int("id")?;
    sqlx::query("UPDATE datasets SET next_version = next_version + 1 WHERE id = $1")
        .bind(dataset)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO changeset_backends (changeset_id, backend_id)
         SELECT $1, backend_id FROM dataset_backends WHERE dataset_id = $2 ORDER BY backend_id",
    )
    .bind(id)
    .bind(dataset)
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

async fn opened(
    tx: &mut Tx,
    id: i64,
    project: i64,
    open: &OpenPush,
    resumed: Option<Recorded>,
) -> Result<OpenedPush, Fail> {
    let row = sqlx::query(
        "SELECT c.uuid, c.dataset_id, c.version, c.lease_until, p.version AS parent_version, p.uuid AS parent_uuid,
            p.file_count AS parent_files
         FROM changesets c LEFT JOIN changesets p ON p.id = c.parent_id WHERE c.id = $1",
    );
    let row = row.bind(id).fetch_one(&mut **tx).await?;
    // Normally empty. What does not fit is asked for by the next push.
    let resend = sqlx::query(
        "SELECT l.content_hash FROM unsourced u CROSS JOIN LATERAL (
            SELECT l.content_hash FROM blobs l WHERE l.id = u.blob_id AND l.project_id = $1 OFFSET 0) l LIMIT 10000",
    );
    let resend = resend.bind(project).fetch_all(&mut **tx).await?;
    let backends = backend_names(tx, row.int("dataset_id")?).await?;
    pushes::opened(&row, open, resumed, (backends, pushes::contents(&resend)?))
}
