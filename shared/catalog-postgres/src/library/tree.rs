//! Pages of a version's tree.

use std::collections::BTreeMap;

use n2s_catalog::library::FileBlob;
use n2s_catalog::rows::{files, int, library};
use n2s_catalog::{FileRow, Page, VersionRef};
use n2s_domain::{ContentHash, FileEntry, PathSpan, RelPath};
use sqlx::postgres::PgRow;

use super::entries_of;
use crate::connect::PostgresCatalog;
use crate::error::Fail;

/// Rows of a version from a byte string on, or between two. The first 256 bytes of paths are in the index, ties are sorted; the end is in a
/// statement of its own, since an `OR` would keep the index from stopping there.
const FORWARD: &str = "SELECT f.*, c.uuid FROM files f JOIN changesets c ON c.id = f.changeset_id
     WHERE f.dataset_id = $1 AND f.from_version <= $2 AND (f.to_version IS NULL OR f.to_version > $2)
       AND substr(f.filepath, 1, 256) >= substr($3::bytea, 1, 256) AND f.filepath >= $3 AND $4::bytea IS NULL
     ORDER BY substr(f.filepath, 1, 256), f.filepath LIMIT $5";
const FORWARD_TO: &str = "SELECT f.*, c.uuid FROM files f JOIN changesets c ON c.id = f.changeset_id
     WHERE f.dataset_id = $1 AND f.from_version <= $2 AND (f.to_version IS NULL OR f.to_version > $2)
       AND substr(f.filepath, 1, 256) >= substr($3::bytea, 1, 256) AND f.filepath >= $3
       AND substr(f.filepath, 1, 256) <= substr($4::bytea, 1, 256) AND f.filepath < $4
     ORDER BY substr(f.filepath, 1, 256), f.filepath LIMIT $5";
const DIRECTORIES: &str = "SELECT f.*, NULL::uuid AS uuid FROM files f
     WHERE f.dataset_id = $1 AND f.from_version <= $2 AND (f.to_version IS NULL OR f.to_version > $2) AND f.kind = 'd'
       AND substr(f.filepath, 1, 256) >= substr($3::bytea, 1, 256) AND f.filepath >= $3 AND $4::bytea IS NULL
     ORDER BY substr(f.filepath, 1, 256) DESC, f.filepath DESC LIMIT $5";
const DIRECTORIES_TO: &str = "SELECT f.*, NULL::uuid AS uuid FROM files f
     WHERE f.dataset_id = $1 AND f.from_version <= $2 AND (f.to_version IS NULL OR f.to_version > $2) AND f.kind = 'd'
       AND substr(f.filepath, 1, 256) >= substr($3::bytea, 1, 256) AND f.filepath >= $3
       AND substr(f.filepath, 1, 256) <= substr($4::bytea, 1, 256) AND f.filepath < $4
     ORDER BY substr(f.filepath, 1, 256) DESC, f.filepath DESC LIMIT $5";

type Bounds = (Vec<u8>, Option<Vec<u8>>);

impl PostgresCatalog {
    async fn rows(
        &self,
        sql: &'static str,
        version: &VersionRef,
        (from, to): Bounds,
        limit: u32,
    ) -> Result<Vec<PgRow>, Fail> {
        let query = sqlx::query(sql).bind(version.dataset).bind(int(version.version.0)).bind(from).bind(to);
        Ok(query.bind(i64::from(limit)).fetch_all(self.pool()).await?)
    }

    async fn forward(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<PgRow>, Fail> {
        let bounds = within.bounds_after(page.after.as_ref());
        let sql = if bounds.1.is_some() { FORWARD_TO } else { FORWARD };
        self.rows(sql, version, bounds, page.limit).await
    }

    pub(super) async fn entry_page(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, Fail> {
        let rows = self.forward(version, within, page).await?;
        entries_of(&mut *self.pool().acquire().await?, rows.iter()).await
    }

    pub(super) async fn directory_page(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileEntry>, Fail> {
        let (from, to) = within.bounds();
        let to = page.after.as_ref().map_or(to, |before| Some(before.as_bytes().to_vec()));
        let sql = if to.is_some() { DIRECTORIES_TO } else { DIRECTORIES };
        let rows = self.rows(sql, version, (from, to), page.limit).await?;
        entries_of(&mut *self.pool().acquire().await?, rows.iter()).await
    }

    pub(super) async fn tree_page(
        &self,
        version: &VersionRef,
        within: &PathSpan,
        page: &Page<RelPath>,
    ) -> Result<Vec<FileRow>, Fail> {
        let rows = self.forward(version, within, page).await?;
        let entries = entries_of(&mut *self.pool().acquire().await?, rows.iter()).await?;
        let hashes = entries.iter().flat_map(FileEntry::chunks).map(|chunk| chunk.hash.0.to_vec());
        let blobs = self.blobs_of(version, hashes.collect()).await?;
        files::tree(entries, &rows, &blobs)
    }

    async fn blobs_of(
        &self,
        version: &VersionRef,
        hashes: Vec<Vec<u8>>,
    ) -> Result<BTreeMap<ContentHash, FileBlob>, Fail> {
        let rows = sqlx::query(
            "SELECT l.id, l.content_hash, l.sealed_hash, l.encrypted_size, l.staging_id,
                ARRAY (SELECT s.backend_id FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed'
                       ORDER BY s.backend_id) AS stored_on
             FROM datasets d CROSS JOIN unnest($1::bytea[]) h (content) CROSS JOIN LATERAL (
                SELECT l.* FROM blobs l WHERE l.project_id = d.project_id AND l.content_hash = h.content OFFSET 0) l
             WHERE d.id = $2",
        );
        rows.bind(hashes)
            .bind(version.dataset)
            .fetch_all(self.pool())
            .await?
            .iter()
            .map(library::blob)
            .collect()
    }
}
