//! Datasets, versions, changesets, search.

use n2s_catalog::{
    CatalogError, ChangesetFilter, ChangesetRecord, ChangesetStore, DatasetRecord, ManifestState, Page,
    SearchHit, Selector, VersionRef,
};
use n2s_domain::{ChangesetId, DatasetName, ProjectName, VaultId, Version};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::connect::SqliteCatalog;
use crate::decode::{array, col, count, int, path, time, time_opt, word};
use crate::error::Fail;
use crate::pushes::entries::fold;

impl SqliteCatalog {
    pub(super) async fn all_datasets(
        &self,
        project: Option<&ProjectName>,
    ) -> Result<Vec<DatasetRecord>, Fail> {
        if let Some(project) = project {
            self.project_id(project).await?;
        }
        let rows = sqlx::query(
            "SELECT p.name AS project, d.name AS dataset, p.vault_id, c.version,
                (SELECT json_group_array(b.name) FROM dataset_backends s JOIN backends b ON b.id = s.backend_id
                 WHERE s.dataset_id = d.id) AS backends
             FROM datasets d JOIN projects p ON p.id = d.project_id LEFT JOIN changesets c ON c.id = d.head_id
             WHERE ?1 IS NULL OR p.name = ?1 ORDER BY p.name, d.name",
        );
        let dataset = |row| {
            Ok(DatasetRecord {
                project: word(row, "project")?,
                dataset: word(row, "dataset")?,
                vault: VaultId(array(row, "vault_id")?),
                head: col::<Option<i64>>(row, "version")?.map(|version| Version(version.unsigned_abs())),
                backends: serde_json::from_str(col(row, "backends")?).unwrap_or_default(),
            })
        };
        let rows = rows.bind(project.map(ToString::to_string)).fetch_all(self.readers()).await?;
        rows.iter().map(dataset).collect()
    }

    async fn project_id(&self, project: &ProjectName) -> Result<i64, Fail> {
        let row = sqlx::query("SELECT id FROM projects WHERE name = ?").bind(project.to_string());
        if let Some(row) = row.fetch_optional(self.readers()).await? {
            return col(&row, "id");
        }
        let names =
            sqlx::query("SELECT name FROM projects ORDER BY name LIMIT 5").fetch_all(self.readers()).await?;
        Err(unknown("project", project, &names)?)
    }

    /// A dataset's id and head.
    pub(crate) async fn dataset(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<(i64, Option<i64>), Fail> {
        let project_id = self.project_id(project).await?;
        let row = sqlx::query("SELECT id, head_id FROM datasets WHERE project_id = ? AND name = ?");
        let row = row.bind(project_id).bind(dataset.to_string()).fetch_optional(self.readers()).await?;
        if let Some(row) = row {
            return Ok((col(&row, "id")?, col(&row, "head_id")?));
        }
        let names = sqlx::query("SELECT name FROM datasets WHERE project_id = ? ORDER BY name LIMIT 5");
        Err(unknown("dataset", dataset, &names.bind(project_id).fetch_all(self.readers()).await?)?)
    }

    pub(super) async fn find_version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, Fail> {
        let (id, head) = self.dataset(project, dataset).await?;
        let found = self.version_row(id, head, selector).await?;
        if let Some(row) = found {
            return version_ref(&row, id);
        }
        let what = match selector {
            Selector::Snapshot(_) => "snapshot",
            Selector::Changeset(_) | Selector::Open(_) => "changeset",
            Selector::Latest | Selector::Version(_) => "version",
        };
        let name = match selector {
            Selector::Latest => "latest".to_owned(),
            Selector::Version(version) => version.to_string(),
            Selector::Snapshot(label) => label.clone(),
            Selector::Changeset(id) | Selector::Open(id) => id.to_string(),
        };
        let sql = if what == "snapshot" {
            "SELECT source_snapshot AS name FROM changesets WHERE dataset_id = ? AND committed_at IS NOT NULL
             AND source_snapshot IS NOT NULL ORDER BY version DESC LIMIT 5"
        } else {
            "SELECT CAST(version AS TEXT) AS name FROM changesets WHERE dataset_id = ? AND committed_at IS NOT NULL
             ORDER BY version DESC LIMIT 5"
        };
        let names = sqlx::query(sql).bind(id).fetch_all(self.readers()).await?;
        Err(unknown(what, &name, &names)?)
    }

    async fn version_row(
        &self,
        dataset: i64,
        head: Option<i64>,
        selector: &Selector,
    ) -> Result<Option<SqliteRow>, Fail> {
        const COLUMNS: &str = "SELECT c.*, p.vault_id FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             JOIN projects p ON p.id = d.project_id WHERE c.dataset_id = ?1 AND (c.committed_at IS NOT NULL OR ?2 = 4) AND CASE ?2
                WHEN 0 THEN c.id = ?3 WHEN 1 THEN c.version = ?3 WHEN 2 THEN c.source_snapshot = ?3 ELSE c.uuid = ?3 END
             ORDER BY c.version DESC LIMIT 1";
        let query = sqlx::query(COLUMNS).bind(dataset);
        let query = match selector {
            Selector::Latest => query.bind(0i64).bind(head),
            Selector::Version(version) => query.bind(1i64).bind(int(version.0)),
            Selector::Snapshot(label) => query.bind(2i64).bind(label.clone()),
            Selector::Changeset(id) => query.bind(3i64).bind(id.0.as_bytes().to_vec()),
            Selector::Open(id) => query.bind(4i64).bind(id.0.as_bytes().to_vec()),
        };
        Ok(query.fetch_optional(self.readers()).await?)
    }

    pub(super) async fn changeset_page(
        &self,
        filter: &ChangesetFilter,
        page: &Page<ChangesetId>,
    ) -> Result<Vec<ChangesetRecord>, Fail> {
        if let Some(project) = &filter.project {
            self.project_id(project).await?;
        }
        let rows = sqlx::query(
            "SELECT c.*, p.name AS project, d.name AS dataset FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             JOIN projects p ON p.id = d.project_id
             WHERE (?1 IS NULL OR p.name = ?1) AND (?2 IS NULL OR d.name = ?2) AND (?3 IS NULL OR c.status = ?3)
               AND (?4 IS NULL OR c.id < (SELECT id FROM changesets WHERE uuid = ?4))
             ORDER BY c.id DESC LIMIT ?5",
        );
        let rows = rows
            .bind(filter.project.as_ref().map(ToString::to_string))
            .bind(filter.dataset.as_ref().map(ToString::to_string))
            .bind(filter.status.map(n2s_domain::ChangesetStatus::as_str))
            .bind(page.after.map(|after| after.0.as_bytes().to_vec()))
            .bind(i64::from(page.limit))
            .fetch_all(self.readers())
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(record(row, self.stores(col(row, "id")?).await?)?);
        }
        Ok(records)
    }

    pub(crate) async fn one_changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, Fail> {
        let row = sqlx::query(
            "SELECT c.*, p.name AS project, d.name AS dataset FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             JOIN projects p ON p.id = d.project_id WHERE c.uuid = ?",
        );
        let row = row.bind(id.0.as_bytes().to_vec()).fetch_optional(self.readers()).await?;
        let hint = "; `n2s changesets` lists them".to_owned();
        let unknown = CatalogError::Unknown { what: "changeset", name: id.to_string(), hint };
        let row = row.ok_or(unknown)?;
        record(&row, self.stores(col(&row, "id")?).await?)
    }

    async fn stores(&self, changeset: i64) -> Result<Vec<ChangesetStore>, Fail> {
        let rows = sqlx::query(
            "SELECT s.*, b.name FROM changeset_backends s JOIN backends b ON b.id = s.backend_id WHERE s.changeset_id = ?
             ORDER BY b.name",
        );
        let store = |row| {
            let manifest = match col::<&str>(row, "manifest")? {
                "waiting" | "syncing" => ManifestState::Waiting,
                "blocked" => ManifestState::Blocked,
                "pending" => ManifestState::Pending,
                "completed" => ManifestState::Completed,
                _ => ManifestState::Failed,
            };
            let (waiting, failed) = (col::<i64>(row, "waiting")?, col::<i64>(row, "failed")?);
            Ok(ChangesetStore {
                backend: word(row, "name")?,
                // A fold that comes in parts may be below zero for a moment.
                waiting: u64::try_from(waiting).unwrap_or(0),
                failed: u64::try_from(failed).unwrap_or(0),
                manifest,
                error: col(row, "error_message")?,
            })
        };
        rows.bind(changeset).fetch_all(self.readers()).await?.iter().map(store).collect()
    }

    pub(super) async fn search_paths(
        &self,
        filter: &ChangesetFilter,
        text: &str,
        page: &Page<i64>,
    ) -> Result<Vec<SearchHit>, Fail> {
        if let Some(project) = &filter.project {
            self.project_id(project).await?;
        }
        let escaped = fold(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let rows = sqlx::query(
            "SELECT f.id, f.filepath, f.size, f.content_hash, p.name AS project, d.name AS dataset
             FROM projects p JOIN datasets d ON d.project_id = p.id JOIN changesets c ON c.id = d.head_id
             JOIN files f ON f.dataset_id = d.id AND f.from_version <= c.version
                AND (f.to_version IS NULL OR f.to_version > c.version)
             WHERE (?1 IS NULL OR p.name = ?1) AND (?2 IS NULL OR d.name = ?2) AND f.id > ?3
               AND coalesce(f.search, CAST(f.filepath AS TEXT)) LIKE ?4 ESCAPE '\\'
             ORDER BY f.id LIMIT ?5",
        );
        let rows = rows
            .bind(filter.project.as_ref().map(ToString::to_string))
            .bind(filter.dataset.as_ref().map(ToString::to_string))
            .bind(page.after.unwrap_or(0))
            .bind(format!("%{escaped}%"))
            .bind(i64::from(page.limit));
        let hit = |row| {
            Ok(SearchHit {
                project: word(row, "project")?,
                dataset: word(row, "dataset")?,
                path: path(row, "filepath")?,
                size: count(row, "size")?,
                content_hash: col::<Option<&[u8]>>(row, "content_hash")?
                    .and_then(n2s_domain::ContentHash::from_slice),
                row: col(row, "id")?,
            })
        };
        rows.fetch_all(self.readers()).await?.iter().map(hit).collect()
    }
}

fn unknown(what: &'static str, name: &impl ToString, known: &[SqliteRow]) -> Result<Fail, Fail> {
    let names = known.iter().map(|row| col::<String>(row, "name")).collect::<Result<Vec<_>, _>>()?;
    let hint = if names.is_empty() {
        "; there is none yet".to_owned()
    } else {
        format!("; there are: {}", names.join(", "))
    };
    Ok(CatalogError::Unknown { what, name: name.to_string(), hint }.into())
}

fn version_ref(row: &SqliteRow, dataset: i64) -> Result<VersionRef, Fail> {
    Ok(VersionRef {
        dataset,
        version: Version(count(row, "version")?),
        changeset: ChangesetId(Uuid::from_bytes(array(row, "uuid")?)),
        snapshot: col(row, "source_snapshot")?,
        file_count: count(row, "file_count")?,
        total_size: count(row, "total_size")?,
        vault: VaultId(array(row, "vault_id")?),
    })
}

fn record(row: &SqliteRow, stores: Vec<ChangesetStore>) -> Result<ChangesetRecord, Fail> {
    Ok(ChangesetRecord {
        id: ChangesetId(Uuid::from_bytes(array(row, "uuid")?)),
        project: word(row, "project")?,
        dataset: word(row, "dataset")?,
        version: Version(count(row, "version")?),
        snapshot: col(row, "source_snapshot")?,
        description: col(row, "description")?,
        client_id: col(row, "client_id")?,
        metadata: serde_json::from_str(col(row, "metadata")?).unwrap_or_default(),
        status: word(row, "status")?,
        error: col(row, "error")?,
        created_at: time(row, "created_at")?,
        committed_at: time_opt(row, "committed_at")?,
        completed_at: time_opt(row, "completed_at")?,
        file_count: count(row, "file_count")?,
        blob_count: count(row, "blob_count")?,
        total_size: count(row, "total_size")?,
        added: count(row, "added")?,
        modified: count(row, "modified")?,
        removed: count(row, "removed")?,
        stores,
    })
}
