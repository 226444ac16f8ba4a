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
use crate::error::{Fail, ask};

mod changesets;
mod tree;

#[async_trait]
impl Library for PostgresCatalog {
    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<DatasetRecord>, CatalogError> {
        ask!(self, "list datasets", self.all_datasets(project))
    }

    async fn version(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        selector: &Selector,
    ) -> Result<VersionRef, CatalogError> {
        ask!(self, "find a version", self.find_version(project, dataset, selector))
    }

    async fn tree(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, CatalogError> {
        ask!(self, "read a tree", self.tree_page(version, within, page))
    }

    async fn entries(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        ask!(self, "read a tree's entries", self.entry_page(version, within, page))
    }

    async fn directories_last_first(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, CatalogError> {
        ask!(self, "read a tree's directories", self.directory_page(version, within, page))
    }

    async fn placements(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, CatalogError> {
        ask!(self, "read placements", self.placements_of(blobs))
    }

    async fn blob_owners(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, CatalogError> {
        ask!(self, "find out whose blobs are", self.owners_of(blobs))
    }

    async fn changesets(
        &self,
        filter: &ChangesetFilter,
        page: &Page<ChangesetId>,
    ) -> Result<Vec<ChangesetRecord>, CatalogError> {
        ask!(self, "list changesets", self.changeset_page(filter, page))
    }

    async fn changeset(&self, id: ChangesetId) -> Result<ChangesetRecord, CatalogError> {
        ask!(self, "read a changeset", self.one_changeset(id))
    }

    async fn search(
        &self,
        filter: &ChangesetFilter,
        text: &str,
        page: &Page<i64>,
    ) -> Result<Vec<SearchHit>, CatalogError> {
        ask!(self, "search", self.search_paths(filter, text, page))
    }
}

impl PostgresCatalog {
    async fn owners_of(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobOwner>>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT p.name, l.sealed_hash, l.encrypted_size FROM unnest($1::bigint[]) WITH ORDINALITY j (blob, place)
             LEFT JOIN blobs l ON l.id = j.blob LEFT JOIN projects p ON p.id = l.project_id ORDER BY j.place",
        );
        rows.bind(ids).fetch_all(&mut *self.link().await?).await?.iter().map(library::owner).collect()
    }

    async fn placements_of(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT s.* FROM blob_backends s WHERE s.blob_id = ANY ($1) ORDER BY s.blob_id, s.backend_id",
        );
        rows.bind(ids).fetch_all(&mut *self.link().await?).await?.iter().map(library::placement).collect()
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
