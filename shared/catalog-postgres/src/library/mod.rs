//! See `n2s_catalog::library`.

use async_trait::async_trait;
use n2s_catalog::rows::{files, library};
use n2s_catalog::{
    BlobOwner, CatalogError, ChangesetFilter, ChangesetRecord, DatasetRecord, FileRow, Library, Page,
    Placement, SearchHit, Selector, VersionRef,
};
use n2s_domain::{BlobId, ChangesetId, DatasetName, FileEntry, PathSpan, ProjectName, RelPath};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::connect::PostgresCatalog;
use crate::error::{At as _, Fail};

mod changesets;
mod tree;

#[async_trait]
impl Library for PostgresCatalog {
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

impl PostgresCatalog {
    async fn owners_of(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT p.name, l.sealed_hash, l.encrypted_size FROM unnest($1::bigint[]) WITH ORDINALITY j (blob, place)
             LEFT JOIN blobs l ON l.id = j.blob LEFT JOIN projects p ON p.id = l.project_id ORDER BY j.place",
        );
        rows.bind(ids).fetch_all(self.pool()).await?.iter().map(library::owner).collect()
    }

    async fn placements_of(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT s.* FROM blob_backends s WHERE s.blob_id = ANY ($1) ORDER BY s.blob_id, s.backend_id",
        );
        rows.bind(ids).fetch_all(self.pool()).await?.iter().map(library::placement).collect()
    }
}

/// File rows to entries, in order; chunks of files with several are fetched together.
pub(crate) async fn entries_of<'r>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'r PgRow>,
) -> Result<Vec<FileEntry>, Fail> {
    let rows: Vec<&PgRow> = rows.collect();
    let ids = files::several(&rows)?;
    let mut pieces = files::Pieces::new();
    if !ids.is_empty() {
        let found = sqlx::query(
            "SELECT p.file_id, p.byte_offset, p.size, l.content_hash FROM file_blobs p
             JOIN blobs l ON l.id = p.blob_id WHERE p.file_id = ANY ($1) ORDER BY p.file_id, p.seq",
        );
        pieces = files::pieces(&found.bind(ids).fetch_all(&mut *connection).await?)?;
    }
    rows.into_iter().map(|row| files::entry(row, &mut pieces)).collect()
}
