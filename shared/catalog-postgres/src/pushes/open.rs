//! Opening and resuming, under the dataset's row lock.

use std::collections::BTreeMap;

use n2s_catalog::{CatalogError, Held, OpenPush, OpenedPush, Parent, PushLease, TakeOver};
use n2s_domain::{BackendName, ChangesetId, Timestamp, VaultId, Version};
use sqlx::postgres::PgRow;

use crate::connect::{PostgresCatalog, Tx};
use crate::decode::{array, col, content, count, micros, text, time, time_opt, word};
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn open_one(&self, open: &OpenPush) -> Result<OpenedPush, Fail> {
        let mut tx = self.begin().await?;
        let project = project(&mut tx, open).await?;
        let dataset = dataset(&mut tx, project, open).await?;
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
            Some(Some((id, batches))) => (id, Some(batches)),
            None => (create(&mut tx, dataset, open).await?, None),
        };
        let opened = opened(&mut tx, id, project, open, resumed).await?;
        tx.commit().await?;
        Ok(opened)
    }
}

async fn project(tx: &mut Tx<'_>, open: &OpenPush) -> Result<i64, Fail> {
    sqlx::query("INSERT INTO projects (name, vault_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(open.project.to_string())
        .bind(open.vault.0.to_vec())
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query("SELECT id, vault_id FROM projects WHERE name = $1")
        .bind(open.project.to_string())
        .fetch_one(&mut **tx)
        .await?;
    let registered = VaultId(array(&row, "vault_id")?);
    if registered == open.vault {
        return col(&row, "id");
    }
    Err(CatalogError::WrongVault { project: open.project.to_string(), registered, given: open.vault }.into())
}

async fn dataset(tx: &mut Tx<'_>, project: i64, open: &OpenPush) -> Result<i64, Fail> {
    sqlx::query(
        "INSERT INTO datasets (project_id, name, store_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(project)
    .bind(open.dataset.to_string())
    .bind(open.store_key.0.to_vec())
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query("SELECT id FROM datasets WHERE project_id = $1 AND name = $2 FOR NO KEY UPDATE")
        .bind(project)
        .bind(open.dataset.to_string())
        .fetch_one(&mut **tx)
        .await?;
    let id = col(&row, "id")?;
    fix_backends(tx, id, &open.backends).await?;
    Ok(id)
}

/// The dataset's stores: chosen by its first push, the same ever after.
async fn fix_backends(tx: &mut Tx<'_>, dataset: i64, given: &[BackendName]) -> Result<(), Fail> {
    let fixed = backend_names(tx, dataset).await?;
    if !fixed.is_empty() {
        let same =
            given.iter().all(|name| fixed.contains(name)) && fixed.iter().all(|name| given.contains(name));
        if given.is_empty() || same {
            return Ok(());
        }
        let text = |names: &[BackendName]| names.iter().map(ToString::to_string).collect();
        return Err(CatalogError::BackendsFixed { fixed: text(&fixed), given: text(given) }.into());
    }
    let rows = sqlx::query("SELECT id, name FROM backends ORDER BY name").fetch_all(&mut **tx).await?;
    let known = rows.iter().map(|row| Ok((col::<i64>(row, "id")?, word::<BackendName>(row, "name")?)));
    let known = known.collect::<Result<Vec<_>, Fail>>()?;
    if known.is_empty() {
        return Err(CatalogError::NoBackends.into());
    }
    if let Some(unknown) = given.iter().find(|name| !known.iter().any(|(_, known)| known == *name)) {
        let names: Vec<_> = known.iter().map(|(_, name)| name.to_string()).collect();
        let hint = format!("; there are: {}", names.join(", "));
        return Err(CatalogError::Unknown { what: "backend", name: unknown.to_string(), hint }.into());
    }
    for (id, _) in known.iter().filter(|(_, name)| given.is_empty() || given.contains(name)) {
        sqlx::query("INSERT INTO dataset_backends (dataset_id, backend_id) VALUES ($1, $2)")
            .bind(dataset)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn backend_names(tx: &mut Tx<'_>, dataset: i64) -> Result<Vec<BackendName>, Fail> {
    let rows = sqlx::query(
        "SELECT b.name FROM dataset_backends d JOIN backends b ON b.id = d.backend_id WHERE d.dataset_id = $1 ORDER BY b.name",
    );
    rows.bind(dataset).fetch_all(&mut **tx).await?.iter().map(|row| word(row, "name")).collect()
}

/// What becomes of the open push: resumed (its row, highest batch and number of batches), or, `None`, given up.
async fn resume(tx: &mut Tx<'_>, row: &PgRow, open: &OpenPush) -> Result<Option<(i64, (u64, u64))>, Fail> {
    let id: i64 = col(row, "id")?;
    let changeset = ChangesetId(col(row, "uuid")?);
    if time_opt(row, "abandoned_at")?.is_some() {
        return Err(CatalogError::Undoing(changeset).into());
    }
    if open.take_over == TakeOver::Abandon {
        let abandon =
            sqlx::query("UPDATE changesets SET abandoned_at = n2s_now(), lease_token = NULL WHERE id = $1");
        abandon.bind(id).execute(&mut **tx).await?;
        return Ok(None);
    }
    let (until, client_id): (Timestamp, String) = (time(row, "lease_until")?, col(row, "client_id")?);
    let lapsed: bool = col(row, "lapsed")?;
    let own = client_id == open.client_id;
    if !own || (open.take_over == TakeOver::IfLapsed && !lapsed) {
        return Err(CatalogError::Held(Held { changeset, client_id, until, lapsed }).into());
    }
    sqlx::query(
        "UPDATE changesets SET lease_token = $1, lease_until = n2s_now() + $2::bigint * interval '1 microsecond',
            touched_at = n2s_now() WHERE id = $3",
    )
    .bind(open.token.0)
    .bind(micros(open.lease))
    .bind(id)
    .execute(&mut **tx)
    .await?;
    let last = sqlx::query(
        "SELECT coalesce(max(batch), 0) AS batch, count(*) AS batches FROM push_batches WHERE changeset_id = $1",
    );
    let last = last.bind(id).fetch_one(&mut **tx).await?;
    Ok(Some((id, (count(&last, "batch")?, count(&last, "batches")?))))
}

async fn create(tx: &mut Tx<'_>, dataset: i64, open: &OpenPush) -> Result<i64, Fail> {
    let stores = backend_names(tx, dataset).await?.len();
    let min_copies = open.min_copies.map_or(stores, |copies| (copies as usize).clamp(1, stores));
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
    .bind(i64::try_from(min_copies).unwrap_or(1))
    .bind(open.token.0)
    .bind(micros(open.lease))
    .fetch_one(&mut **tx)
    .await?;
    let id = col(&row, "id")?;
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
    tx: &mut Tx<'_>,
    id: i64,
    project: i64,
    open: &OpenPush,
    resumed: Option<(u64, u64)>,
) -> Result<OpenedPush, Fail> {
    let row = sqlx::query(
        "SELECT c.uuid, c.dataset_id, c.version, c.lease_until, p.version AS parent_version, p.uuid AS parent_uuid,
            p.file_count AS parent_files
         FROM changesets c LEFT JOIN changesets p ON p.id = c.parent_id WHERE c.id = $1",
    );
    let row = row.bind(id).fetch_one(&mut **tx).await?;
    let parent = match col::<Option<i64>>(&row, "parent_version")? {
        None => None,
        Some(_) => Some(Parent {
            version: Version(count(&row, "parent_version")?),
            changeset: ChangesetId(col(&row, "parent_uuid")?),
            file_count: count(&row, "parent_files")?,
        }),
    };
    // Normally empty. What does not fit is asked for by the next push.
    let resend = sqlx::query(
        "SELECT l.content_hash FROM unsourced u JOIN blobs l ON l.id = u.blob_id WHERE l.project_id = $1 LIMIT 10000",
    );
    let resend = resend.bind(project).fetch_all(&mut **tx).await?;
    Ok(OpenedPush {
        lease: PushLease { changeset: ChangesetId(col(&row, "uuid")?), token: open.token },
        version: Version(count(&row, "version")?),
        parent,
        resumed: resumed.map(|(highest, _)| highest),
        recorded: resumed.map_or(0, |(_, recorded)| recorded),
        backends: backend_names(tx, col(&row, "dataset_id")?).await?,
        resend: resend.iter().map(|row| content(row, "content_hash")).collect::<Result<_, _>>()?,
        lease_until: time(&row, "lease_until")?,
    })
}
