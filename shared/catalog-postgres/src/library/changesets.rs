//! Datasets, versions, changesets, search.

use n2s_catalog::decisions::entering::search_pattern;
use n2s_catalog::rows::{Columns as _, int, library};
use n2s_catalog::{
    CatalogError, ChangesetFilter, ChangesetRecord, ChangesetStore, DatasetRecord, Page, SearchHit, Selector,
    VersionRef,
};
use n2s_domain::{ChangesetId, DatasetName, ProjectName};
use sqlx::postgres::PgRow;

use crate::connect::PostgresCatalog;
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn all_datasets(
        &self,
        project: Option<&ProjectName>,
    ) -> Result<Vec<DatasetRecord>, Fail> {
        if let Some(project) = project {
            self.project_id(project).await?;
        }
        let rows = sqlx::query(
            "SELECT p.name AS project, d.name AS dataset, p.vault_id, c.version,
                ARRAY (SELECT b.name FROM dataset_backends s JOIN backends b ON b.id = s.backend_id
                 WHERE s.dataset_id = d.id ORDER BY b.name) AS backends
             FROM datasets d JOIN projects p ON p.id = d.project_id LEFT JOIN changesets c ON c.id = d.head_id
             WHERE $1::text IS NULL OR p.name = $1 ORDER BY p.name, d.name",
        );
        let rows = rows.bind(project.map(ToString::to_string)).fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(library::dataset).collect()
    }

    async fn project_id(&self, project: &ProjectName) -> Result<i64, Fail> {
        let row = sqlx::query("SELECT id FROM projects WHERE name = $1").bind(project.to_string());
        if let Some(row) = row.fetch_optional(&mut *self.link().await?).await? {
            return row.int("id");
        }
        let names = sqlx::query("SELECT name FROM projects ORDER BY name LIMIT 5")
            .fetch_all(&mut *self.link().await?)
            .await?;
        Err(library::unknown("project", project, &names)?)
    }

    /// A dataset's id and head.
    pub(crate) async fn dataset(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
    ) -> Result<(i64, Option<i64>), Fail> {
        let project_id = self.project_id(project).await?;
        let row = sqlx::query("SELECT id, head_id FROM datasets WHERE project_id = $1 AND name = $2");
        let row =
            row.bind(project_id).bind(dataset.to_string()).fetch_optional(&mut *self.link().await?).await?;
        if let Some(row) = row {
            return Ok((row.int("id")?, row.int_opt("head_id")?));
        }
        let names = sqlx::query("SELECT name FROM datasets WHERE project_id = $1 ORDER BY name LIMIT 5");
        Err(library::unknown(
            "dataset",
            dataset,
            &names.bind(project_id).fetch_all(&mut *self.link().await?).await?,
        )?)
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
            return library::version(&row, id);
        }
        let sql = if matches!(selector, Selector::Snapshot(_)) {
            "SELECT source_snapshot AS name FROM changesets WHERE dataset_id = $1 AND committed_at IS NOT NULL
             AND source_snapshot IS NOT NULL ORDER BY version DESC LIMIT 5"
        } else {
            "SELECT version::text AS name FROM changesets WHERE dataset_id = $1 AND committed_at IS NOT NULL
             ORDER BY version DESC LIMIT 5"
        };
        let names = sqlx::query(sql).bind(id).fetch_all(&mut *self.link().await?).await?;
        Err(library::unknown(selector.what(), &selector.name(), &names)?)
    }

    async fn version_row(
        &self,
        dataset: i64,
        head: Option<i64>,
        selector: &Selector,
    ) -> Result<Option<PgRow>, Fail> {
        const COLUMNS: &str = "SELECT c.version, c.uuid, c.source_snapshot, c.file_count, c.total_size, p.vault_id FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             JOIN projects p ON p.id = d.project_id
             WHERE c.dataset_id = $1 AND (c.committed_at IS NOT NULL OR $2) AND ($3::bigint IS NULL OR c.id = $3)
                AND ($4::bigint IS NULL OR c.version = $4) AND ($5::text IS NULL OR c.source_snapshot = $5)
                AND ($6::uuid IS NULL OR c.uuid = $6)
             ORDER BY c.version DESC LIMIT 1";
        let (mut id, mut version, mut label, mut uuid) = (None, None, None, None);
        match selector {
            // No changeset has the id zero: a dataset without a head has no latest version.
            Selector::Latest => id = Some(head.unwrap_or(0)),
            Selector::Version(number) => version = Some(int(number.0)),
            Selector::Snapshot(text) => label = Some(text.clone()),
            Selector::Changeset(changeset) | Selector::Open(changeset) => uuid = Some(changeset.0),
        }
        let open = matches!(selector, Selector::Open(_));
        let query =
            sqlx::query(COLUMNS).bind(dataset).bind(open).bind(id).bind(version).bind(label).bind(uuid);
        Ok(query.fetch_optional(&mut *self.link().await?).await?)
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
             WHERE ($1::text IS NULL OR p.name = $1) AND ($2::text IS NULL OR d.name = $2) AND ($3::text IS NULL OR c.status = $3)
               AND ($4::uuid IS NULL OR c.id < (SELECT id FROM changesets WHERE uuid = $4))
             ORDER BY c.id DESC LIMIT $5",
        );
        let rows = rows
            .bind(filter.project.as_ref().map(ToString::to_string))
            .bind(filter.dataset.as_ref().map(ToString::to_string))
            .bind(filter.status.map(n2s_domain::ChangesetStatus::as_str))
            .bind(page.after.map(|after| after.0))
            .bind(i64::from(page.limit))
            .fetch_all(&mut *self.link().await?)
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(library::changeset(row, self.stores(row.int("id")?).await?)?);
        }
        Ok(records)
    }

    pub(crate) async fn one_changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, Fail> {
        let row = sqlx::query(
            "SELECT c.*, p.name AS project, d.name AS dataset FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             JOIN projects p ON p.id = d.project_id WHERE c.uuid = $1",
        );
        let row = row.bind(id.0).fetch_optional(&mut *self.link().await?).await?;
        let unknown = || CatalogError::unknown("changeset", &id, "; `n2s changesets` lists them");
        let row = row.ok_or_else(unknown)?;
        library::changeset(&row, self.stores(row.int("id")?).await?)
    }

    async fn stores(&self, changeset: i64) -> Result<Vec<ChangesetStore>, Fail> {
        let rows = sqlx::query(
            "SELECT s.*, b.name FROM changeset_backends s JOIN backends b ON b.id = s.backend_id WHERE s.changeset_id = $1
             ORDER BY b.name",
        );
        rows.bind(changeset)
            .fetch_all(&mut *self.link().await?)
            .await?
            .iter()
            .map(library::changeset_store)
            .collect()
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
        let rows = sqlx::query(
            "SELECT f.id, f.filepath, f.size, f.content_hash, p.name AS project, d.name AS dataset
             FROM projects p JOIN datasets d ON d.project_id = p.id JOIN changesets c ON c.id = d.head_id
             JOIN files f ON f.dataset_id = d.id AND f.from_version <= c.version
                AND (f.to_version IS NULL OR f.to_version > c.version)
             WHERE ($1::text IS NULL OR p.name = $1) AND ($2::text IS NULL OR d.name = $2) AND f.id > $3
               AND coalesce(f.search, convert_from(f.filepath, 'UTF8')) LIKE $4 ESCAPE '\\'
             ORDER BY f.id LIMIT $5",
        );
        let rows = rows
            .bind(filter.project.as_ref().map(ToString::to_string))
            .bind(filter.dataset.as_ref().map(ToString::to_string))
            .bind(page.after.unwrap_or(0))
            .bind(search_pattern(text))
            .bind(i64::from(page.limit));
        rows.fetch_all(&mut *self.link().await?).await?.iter().map(library::hit).collect()
    }
}
