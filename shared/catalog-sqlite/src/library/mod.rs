//! See `n2s_catalog::library`.

use async_trait::async_trait;
use n2s_catalog::rows::{files, library};
use n2s_catalog::{
    BlobOwner, CatalogError, ChangesetFilter, ChangesetRecord, DatasetRecord, FileRow, Library, Page,
    Placement, SearchHit, Selector, VersionRef,
};
use n2s_domain::{BlobId, ChangesetId, DatasetName, FileEntry, PathSpan, ProjectName, RelPath};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::connect::SqliteCatalog;
use crate::decode::json;
use crate::error::{At as _, Fail};

mod changesets;
mod tree;

#[async_trait]
impl Library for SqliteCatalog {
    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<DatasetRecord>, CatalogError> {
        self.all_datasets(project).await.at("list datasets")
    }

    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, CatalogError> {
        self.find_version(project, dataset, selector).await.at("find a version")
    }

    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, CatalogError> {
        self.tree_page(version, within, page).await.at("read a tree")
    }

    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        self.entry_page(version, within, page).await.at("read a tree's entries")
    }

    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        self.directory_page(version, within, page).await.at("read a tree's directories")
    }

    async fn placements(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, CatalogError> {
        self.placements_of(blobs).await.at("read placements")
    }

    async fn blob_owners(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, CatalogError> {
        self.owners_of(blobs).await.at("find out whose blobs are")
    }

    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        page: &Page<ChangesetId>,
    ) -> Result<Vec<ChangesetRecord>, CatalogError> {
        self.changeset_page(filter, page).await.at("list changesets")
    }

    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, CatalogError> {
        self.one_changeset(id).await.at("read a changeset")
    }

    async fn search(
        &self,
        filter: &ChangesetFilter,
        text: &str,
        page: &Page<i64>,
    ) -> Result<Vec<SearchHit>, CatalogError> {
        self.search_paths(filter, text, page).await.at("search")
    }
}

impl SqliteCatalog {
    async fn owners_of(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT p.name, l.sealed_hash, l.encrypted_size FROM json_each(?) j LEFT JOIN blobs l ON l.id = j.value
             LEFT JOIN projects p ON p.id = l.project_id ORDER BY j.key",
        );
        rows.bind(json(&ids)).fetch_all(self.readers()).await?.iter().map(library::owner).collect()
    }

    async fn placements_of(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT s.* FROM json_each(?) j CROSS JOIN blob_backends s ON s.blob_id = j.value ORDER BY s.blob_id, s.backend_id",
        );
        rows.bind(json(&ids)).fetch_all(self.readers()).await?.iter().map(library::placement).collect()
    }
}

/// File rows to entries, in order; chunks of files with several are fetched together.
pub(crate) async fn entries_of<'r>(
    connection: &mut SqliteConnection,
    rows: impl Iterator<Item = &'r SqliteRow>,
) -> Result<Vec<FileEntry>, Fail> {
    let rows: Vec<&SqliteRow> = rows.collect();
    let ids = files::several(&rows)?;
    let mut pieces = files::Pieces::new();
    if !ids.is_empty() {
        let found = sqlx::query(
            "SELECT p.file_id, p.byte_offset, p.size, l.content_hash FROM json_each(?) j
             CROSS JOIN file_blobs p ON p.file_id = j.value JOIN blobs l ON l.id = p.blob_id ORDER BY p.file_id, p.seq",
        );
        pieces = files::pieces(&found.bind(json(&ids)).fetch_all(&mut *connection).await?)?;
    }
    rows.into_iter().map(|row| files::entry(row, &mut pieces)).collect()
}
