//! See `n2s_catalog::library`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use n2s_catalog::{
    CatalogError, ChangesetFilter, ChangesetRecord, DatasetRecord, FileRow, Library, Page, Placement,
    SearchHit, Selector, VersionRef,
};
use n2s_domain::{
    BackendId, BlobId, ChangesetId, ChunkRef, Content, DatasetName, FileEntry, FileMeta, FileTime, PathSpan,
    ProjectName, RelPath, SealedHash,
};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::connect::PostgresCatalog;
use crate::decode::{col, content, count, failure, path, sealed, small, time_opt, word};
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

    async fn blob_owners(
        &self,
        blobs: &[BlobId],
    ) -> Result<Vec<Option<(ProjectName, SealedHash)>>, CatalogError> {
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
    async fn owners_of(&self, blobs: &[BlobId]) -> Result<Vec<Option<(ProjectName, SealedHash)>>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT p.name, l.sealed_hash FROM unnest($1::bigint[]) WITH ORDINALITY j (blob, place)
             LEFT JOIN blobs l ON l.id = j.blob LEFT JOIN projects p ON p.id = l.project_id ORDER BY j.place",
        );
        let owner = |row| match col::<Option<&str>>(row, "name")? {
            None => Ok(None),
            Some(_) => Ok(Some((word(row, "name")?, sealed(row, "sealed_hash")?))),
        };
        rows.bind(ids).fetch_all(self.pool()).await?.iter().map(owner).collect()
    }

    async fn placements_of(&self, blobs: &[BlobId]) -> Result<Vec<Placement>, Fail> {
        let ids: Vec<_> = blobs.iter().map(|blob| blob.0).collect();
        let rows = sqlx::query(
            "SELECT s.* FROM blob_backends s WHERE s.blob_id = ANY ($1) ORDER BY s.blob_id, s.backend_id",
        );
        let placement = |row| {
            Ok(Placement {
                blob: BlobId(col(row, "blob_id")?),
                backend: BackendId(col(row, "backend_id")?),
                status: word(row, "status")?,
                attempted_at: time_opt(row, "attempted_at")?,
                completed_at: time_opt(row, "completed_at")?,
                verified_at: time_opt(row, "verified_at")?,
                retry_count: small(row, "retry_count")?,
                error: failure(row)?,
            })
        };
        rows.bind(ids).fetch_all(self.pool()).await?.iter().map(placement).collect()
    }
}

/// File rows to entries, in order; chunks of files with several are fetched together.
pub(crate) async fn entries_of<'r>(
    connection: &mut PgConnection,
    rows: impl Iterator<Item = &'r PgRow>,
) -> Result<Vec<FileEntry>, Fail> {
    let rows: Vec<&PgRow> = rows.collect();
    let several = rows.iter().filter(|row| {
        let blob = col::<Option<i64>>(row, "blob_id").ok().flatten();
        let size = col::<i64>(row, "size").unwrap_or(0);
        blob.is_none() && size > 0
    });
    let ids = several.map(|row| col(row, "id")).collect::<Result<Vec<i64>, _>>()?;
    let mut chunks = BTreeMap::new();
    if !ids.is_empty() {
        let pieces = sqlx::query(
            "SELECT p.file_id, p.byte_offset, p.size, l.content_hash FROM file_blobs p
             JOIN blobs l ON l.id = p.blob_id WHERE p.file_id = ANY ($1) ORDER BY p.file_id, p.seq",
        );
        for piece in pieces.bind(ids).fetch_all(&mut *connection).await? {
            let hash = content(&piece, "content_hash")?;
            let chunk =
                ChunkRef { hash, offset: count(&piece, "byte_offset")?, size: small(&piece, "size")? };
            chunks.entry(col::<i64>(&piece, "file_id")?).or_insert_with(Vec::new).push(chunk);
        }
    }
    rows.into_iter().map(|row| entry(row, &mut chunks)).collect()
}

fn entry(row: &PgRow, chunks: &mut BTreeMap<i64, Vec<ChunkRef>>) -> Result<FileEntry, Fail> {
    let mtime = FileTime { secs: col(row, "mtime_secs")?, nanos: small(row, "mtime_nanos")? };
    let meta =
        FileMeta { mode: small(row, "mode")?, uid: small(row, "uid")?, gid: small(row, "gid")?, mtime };
    let what = match col::<&str>(row, "kind")? {
        "d" => Content::Directory,
        "l" => Content::Symlink { target: col(row, "link_target")? },
        _ => {
            let (size, hash) = (count(row, "size")?, content(row, "content_hash")?);
            let one = col::<Option<i64>>(row, "blob_id")?.is_some();
            let chunks = if one {
                vec![ChunkRef { hash, offset: 0, size: u32::try_from(size).unwrap_or(u32::MAX) }]
            } else {
                chunks.remove(&col(row, "id")?).unwrap_or_default()
            };
            Content::File { size, hash, chunks }
        }
    };
    let link_group = col::<Option<i64>>(row, "link_group")?.and_then(|group| u64::try_from(group).ok());
    Ok(FileEntry { path: path(row, "filepath")?, meta, content: what, link_group })
}
