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
use crate::error::{Fail, ask};

mod changesets;
mod tree;

#[async_trait]
impl Library for SqliteCatalog {
    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<DatasetRecord>, CatalogError> {
        ask!("list datasets", self.all_datasets(project))
    }

    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, CatalogError> {
        ask!("find a version", self.find_version(project, dataset, selector))
    }

    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, CatalogError> {
        ask!("read a tree", self.tree_page(version, within, page))
    }

    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        ask!("read a tree's entries", self.entry_page(version, within, page))
    }

    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        ask!("read a tree's directories", self.directory_page(version, within, page))
    }

    async fn placements(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, CatalogError> {
        ask!("read placements", self.placements_of(blobs))
    }

    async fn blob_owners(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, CatalogError> {
        ask!("find out whose blobs are", self.owners_of(blobs))
    }

    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        page: &Page<ChangesetId>,
    ) -> Result<Vec<ChangesetRecord>, CatalogError> {
        ask!("list changesets", self.changeset_page(filter, page))
    }

    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, CatalogError> {
        ask!("read a changeset", self.one_changeset(id))
    }

    async fn search(
        &self,
        filter: &ChangesetFilter,
        text: &str,
        page: &Page<i64>,
    ) -> Result<Vec<SearchHit>, CatalogError> {
        ask!("search", self.search_paths(filter, text, page))
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
