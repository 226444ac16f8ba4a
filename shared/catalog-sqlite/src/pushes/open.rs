//! Opening and resuming.

use n2s_catalog::decisions::opening::{Fate, check_fixed, check_vault, fate, first_stores, min_copies};
use n2s_catalog::rows::pushes::Recorded;
use n2s_catalog::rows::{Columns as _, backends, pushes};
use n2s_catalog::{CatalogError, OpenPush, OpenedPush};
use n2s_domain::{BackendName, DatasetName, ProjectName, StoreKey, Timestamp, VaultId};
use n2s_failpoints::Point;
use sqlx::sqlite::SqliteRow;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::json;
use crate::error::Fail;

impl SqliteCatalog {
    pub(super) async fn open_one(&self, open: &OpenPush) -> Result<OpenedPush, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let project = project(&mut tx, (&open.project, open.vault), now).await?;
        let dataset = dataset(&mut tx, project, (&open.dataset, open.store_key), now).await?;
        fix_backends(&mut tx, dataset, &open.backends).await?;
        let found = sqlx::query(
            "SELECT * FROM changesets WHERE dataset_id = ? AND committed_at IS NULL AND undone_at IS NULL",
        )
        .bind(dataset)
        .fetch_optional(&mut *tx)
        .await?;
        let resumed = match found {
            None => None,
            Some(row) => Some(resume(&mut tx, &row, open, now).await?),
        };
        let (id, resumed) = match resumed {
            // Committed even though the answer is a refusal: the undo has begun.
            Some(None) => {
                tx.commit().await?;
                return Err(CatalogError::Undoing(open.changeset).into());
            }
            Some(Some((id, recorded))) => (id, Some(recorded)),
            None => (create(&mut tx, dataset, open, now).await?, None),
        };
        let opened = opened(&mut tx, id, project, open, resumed).await?;
        commit(tx, Point::PushOpened).await?;
        Ok(opened)
    }
}

/// The project's row; made, and bound to the vault, when absent.
pub(super) async fn project(
    tx: &mut Tx<'_>,
    (name, vault): (&ProjectName, VaultId),
    now: i64,
) -> Result<i64, Fail> {
    sqlx::query("INSERT INTO projects (name, vault_id, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(name.to_string())
        .bind(vault.0.to_vec())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT id, vault_id FROM projects WHERE name = ?")
        .bind(name.to_string())
        .fetch_one(&mut **tx)
        .await?;
    check_vault(name, vault, row.vault()?)?;
    row.int("id")
}

/// The dataset's row; made when absent.
pub(super) async fn dataset(
    tx: &mut Tx<'_>,
    project: i64,
    (name, store_key): (&DatasetName, StoreKey),
    now: i64,
) -> Result<i64, Fail> {
    sqlx::query(
        "INSERT INTO datasets (project_id, name, store_key, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(project)
    .bind(name.to_string())
    .bind(store_key.0.to_vec())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("SELECT id FROM datasets WHERE project_id = ? AND name = ?")
        .bind(project)
        .bind(name.to_string())
        .fetch_one(&mut **tx)
        .await?;
    row.int("id")
}

/// The dataset's stores: chosen by its first push, the same ever after.
async fn fix_backends(tx: &mut Tx<'_>, dataset: i64, given: &[BackendName]) -> Result<(), Fail> {
    let fixed = backend_names(tx, dataset).await?;
    if !fixed.is_empty() {
        return Ok(check_fixed(&fixed, given)?);
    }
    let rows = sqlx::query("SELECT id, name FROM backends ORDER BY name").fetch_all(&mut **tx).await?;
    let known = rows.iter().map(backends::named).collect::<Result<Vec<_>, Fail>>()?;
    for id in first_stores(&known, given)? {
        sqlx::query("INSERT INTO dataset_backends (dataset_id, backend_id) VALUES (?, ?)")
            .bind(dataset)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn backend_names(tx: &mut Tx<'_>, dataset: i64) -> Result<Vec<BackendName>, Fail> {
    let rows = sqlx::query(
        "SELECT b.name FROM dataset_backends d JOIN backends b ON b.id = d.backend_id WHERE d.dataset_id = ? ORDER BY b.name",
    );
    rows.bind(dataset).fetch_all(&mut **tx).await?.iter().map(|row| row.word("name")).collect()
}

/// What becomes of the open push: resumed (its row, highest batch and number of batches), or, `None`, given up.
async fn resume(
    tx: &mut Tx<'_>,
    row: &SqliteRow,
    open: &OpenPush,
    now: i64,
) -> Result<Option<(i64, Recorded)>, Fail> {
    let found = pushes::pending(row)?;
    let lapsed = found.until.is_some_and(|until| until.as_micros() <= now);
    if fate(open, &found, lapsed)? == Fate::Abandoned {
        sqlx::query("UPDATE changesets SET abandoned_at = ?, lease_token = NULL WHERE id = ?")
            .bind(now)
            .bind(found.id)
            .execute(&mut **tx)
            .await?;
        return Ok(None);
    }
    sqlx::query("UPDATE changesets SET lease_token = ?, lease_until = ?, touched_at = ? WHERE id = ?")
        .bind(open.token.0.as_bytes().to_vec())
        .bind(Timestamp::from_micros(now).after(open.lease).as_micros())
        .bind(now)
        .bind(found.id)
        .execute(&mut **tx)
        .await?;
    let last = sqlx::query(
        "SELECT coalesce(max(batch), 0) AS batch, count(*) AS batches FROM push_batches WHERE changeset_id = ?",
    );
    let last = last.bind(found.id).fetch_one(&mut **tx).await?;
    Ok(Some((found.id, pushes::recorded(&last)?)))
}

async fn create(tx: &mut Tx<'_>, dataset: i64, open: &OpenPush, now: i64) -> Result<i64, Fail> {
    let stores = backend_names(tx, dataset).await?.len();
    let row = sqlx::query(
        "INSERT INTO changesets (uuid, dataset_id, version, parent_id, source_snapshot, description, client_id, metadata, status,
            min_copies, created_at, touched_at, lease_token, lease_until, file_count, total_size)
         SELECT ?1, d.id, d.next_version, d.head_id, ?3, ?4, ?5, ?6, 'pending', ?7, ?8, ?8, ?9, ?10,
            coalesce(p.file_count, 0), coalesce(p.total_size, 0)
         FROM datasets d LEFT JOIN changesets p ON p.id = d.head_id WHERE d.id = ?2
         RETURNING id",
    )
    .bind(open.changeset.0.as_bytes().to_vec())
    .bind(dataset)
    .bind(open.snapshot.clone())
    .bind(open.description.clone())
    .bind(open.client_id.clone())
    .bind(json(&open.metadata))
    .bind(min_copies(open, stores))
    .bind(now)
    .bind(open.token.0.as_bytes().to_vec())
    .bind(Timestamp::from_micros(now).after(open.lease).as_micros())
    .fetch_one(&mut **tx)
    .await?;
    let id = row.int("id")?;
    sqlx::query("UPDATE datasets SET next_version = next_version + 1 WHERE id = ?")
        .bind(dataset)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO changeset_backends (changeset_id, backend_id) SELECT ?, backend_id FROM dataset_backends WHERE dataset_id = ?",
    )
    .bind(id)
    .bind(dataset)
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

async fn opened(
    tx: &mut Tx<'_>,
    id: i64,
    project: i64,
    open: &OpenPush,
    resumed: Option<Recorded>,
) -> Result<OpenedPush, Fail> {
    let row = sqlx::query(
        "SELECT c.uuid, c.dataset_id, c.version, c.lease_until, p.version AS parent_version, p.uuid AS parent_uuid,
            p.file_count AS parent_files
         FROM changesets c LEFT JOIN changesets p ON p.id = c.parent_id WHERE c.id = ?",
    );
    let row = row.bind(id).fetch_one(&mut **tx).await?;
    // Normally empty. What does not fit is asked for by the next push.
    let resend = sqlx::query(
        "SELECT l.content_hash FROM unsourced u JOIN blobs l ON l.id = u.blob_id WHERE l.project_id = ? LIMIT 10000",
    );
    let resend = resend.bind(project).fetch_all(&mut **tx).await?;
    let backends = backend_names(tx, row.int("dataset_id")?).await?;
    pushes::opened(&row, open, resumed, (backends, pushes::contents(&resend)?))
}
