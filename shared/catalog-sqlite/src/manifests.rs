//! See `n2s_catalog::manifests`.

use async_trait::async_trait;
use n2s_catalog::rows::pushes::OpenRow;
use n2s_catalog::rows::{Columns as _, files, int, manifests};
use n2s_catalog::{
    CatalogError, GroupKind, ManifestGroup, Manifests, NewGroup, PushLease, StoredBlob, VersionCounts,
};
use n2s_domain::{ContentHash, EntryChange, RelPath, SealedHash, Version};
use n2s_failpoints::Point;
use sqlx::sqlite::SqliteRow;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::{hex, json};
use crate::error::{Fail, ask};
use crate::library::entries_of;
use crate::placing::{place, sourced};

#[async_trait]
impl Manifests for SqliteCatalog {
    async fn manifest_groups(&self, lease: &PushLease) -> Result<Vec<ManifestGroup>, CatalogError> {
        ask!("read a manifest's groups", self.parent_groups(lease))
    }

    async fn version_counts(&self, lease: &PushLease) -> Result<VersionCounts, CatalogError> {
        ask!("count a version", self.counts(lease))
    }

    async fn manifest_changes(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, CatalogError> {
        ask!("read a version's changes", self.changes(lease, since, after, limit))
    }

    async fn manifest_blobs(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, CatalogError> {
        ask!("read a version's blobs", self.blobs(lease, since, after, limit))
    }

    async fn replaced_sealings(
        &self,
        lease: &PushLease,
    ) -> Result<Vec<(SealedHash, SealedHash)>, CatalogError> {
        ask!("read replaced sealings", self.replaced(lease))
    }

    async fn record_groups(&self, lease: &PushLease, groups: &[NewGroup]) -> Result<(), CatalogError> {
        ask!("record a manifest's groups", self.add_groups(lease, groups))
    }
}

impl SqliteCatalog {
    /// Follows the chain downward: a group, the one that ends where it begins, and so on to a base.
    async fn parent_groups(&self, lease: &PushLease) -> Result<Vec<ManifestGroup>, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let mut groups = Vec::new();
        for kind in [GroupKind::List, GroupKind::Map] {
            let mut chain = Vec::new();
            let mut through = parent_version(&mut tx, &push).await?;
            while through > 0 {
                let Some(group) = group(&mut tx, &push, kind, through).await? else { break };
                through = int(group.since.0);
                chain.push(group);
            }
            groups.extend(chain.into_iter().rev());
        }
        tx.commit().await?;
        Ok(groups)
    }

    async fn counts(&self, lease: &PushLease) -> Result<VersionCounts, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let row = sqlx::query(
            "SELECT file_count, total_size,
                (SELECT count(*) FROM files WHERE dataset_id = ?2 AND from_version = ?3) AS put,
                (SELECT count(*) FROM files o WHERE o.dataset_id = ?2 AND o.to_version = ?3 AND NOT EXISTS (
                    SELECT 1 FROM files n WHERE n.dataset_id = ?2 AND n.filepath = o.filepath AND n.from_version = ?3)) AS removed
             FROM changesets WHERE id = ?1",
        );
        let row = row.bind(push.id).bind(push.dataset).bind(push.version).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        manifests::counts(&row)
    }

    async fn changes(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<&RelPath>,
        limit: u32,
    ) -> Result<Vec<EntryChange>, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let sql = if since.0 == 0 {
            "SELECT filepath AS path, files.* FROM files
             WHERE dataset_id = ?1 AND to_version IS NULL AND filepath > ?3 AND ?2 = 0 ORDER BY filepath LIMIT ?4"
        } else {
            "SELECT p.filepath AS path, f.* FROM (
                SELECT filepath FROM files WHERE dataset_id = ?1 AND from_version > ?2 AND to_version IS NULL AND filepath > ?3
                UNION
                SELECT filepath FROM files WHERE dataset_id = ?1 AND to_version > ?2 AND from_version <= ?2 AND filepath > ?3
                ORDER BY filepath LIMIT ?4) p
             LEFT JOIN files f ON f.dataset_id = ?1 AND f.filepath = p.filepath AND f.to_version IS NULL
             ORDER BY p.filepath"
        };
        // The root's path is empty, so no path is before it: the first page asks for it by name.
        let mut live: Vec<SqliteRow> = Vec::new();
        if after.is_none() {
            live = page(&mut tx, ROOT, &push, (since, b""), limit).await?;
        }
        let from = after.map_or(&b""[..], RelPath::as_bytes);
        live.extend(page(&mut tx, sql, &push, (since, from), limit).await?);
        let entries = entries_of(&mut tx, live.iter().filter(|row| files::is_live(*row))).await?;
        tx.commit().await?;
        files::changes(&live, entries)
    }

    async fn blobs(
        &self,
        lease: &PushLease,
        since: Version,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        // A base looks at each blob of the project in hash order; a delta starts from its few rows.
        let sql = if since.0 == 0 {
            "SELECT l.* FROM blobs l WHERE l.project_id = ?5 AND (?3 IS NULL OR l.content_hash > ?3) AND ?2 = 0 AND (
                EXISTS (SELECT 1 FROM files f WHERE f.blob_id = l.id AND f.dataset_id = ?1 AND f.to_version IS NULL)
                OR EXISTS (SELECT 1 FROM file_blobs p JOIN files f ON f.id = p.file_id
                           WHERE p.blob_id = l.id AND f.dataset_id = ?1 AND f.to_version IS NULL))
             ORDER BY l.content_hash LIMIT ?4"
        } else {
            "SELECT l.* FROM blobs l WHERE l.project_id = ?5 AND (?3 IS NULL OR l.content_hash > ?3) AND l.id IN (
                SELECT f.blob_id FROM files f WHERE f.dataset_id = ?1 AND f.from_version > ?2 AND f.to_version IS NULL
                UNION
                SELECT p.blob_id FROM files f JOIN file_blobs p ON p.file_id = f.id
                WHERE f.dataset_id = ?1 AND f.from_version > ?2 AND f.to_version IS NULL)
             ORDER BY l.content_hash LIMIT ?4"
        };
        let rows = sqlx::query(sql)
            .bind(push.dataset)
            .bind(int(since.0))
            .bind(after.map(|hash| hash.0.to_vec()))
            .bind(i64::from(limit))
            .bind(push.project)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(manifests::stored).collect()
    }

    async fn replaced(&self, lease: &PushLease) -> Result<Vec<(SealedHash, SealedHash)>, Fail> {
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let rows = sqlx::query(
            "SELECT old_sealed, new_sealed FROM blob_replacements WHERE project_id = ?1
             AND replaced_at >= coalesce((SELECT committed_at FROM changesets WHERE id = ?2), 0) ORDER BY id",
        );
        let rows = rows.bind(push.project).bind(push.parent).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(manifests::replaced).collect()
    }

    async fn add_groups(&self, lease: &PushLease, groups: &[NewGroup]) -> Result<(), Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        sqlx::query("DELETE FROM manifest_groups WHERE changeset_id = ?")
            .bind(push.id)
            .execute(&mut *tx)
            .await?;
        for group in groups {
            let blobs = sourced(&mut tx, push.project, &group.segments).await?;
            let row = sqlx::query(
                "INSERT INTO manifest_groups (dataset_id, changeset_id, kind, since, through, entries) VALUES (?, ?, ?, ?, ?, ?)
                 RETURNING id",
            );
            let row = row.bind(push.dataset).bind(push.id).bind(group.kind.as_str()).bind(int(group.since.0));
            let id = row.bind(push.version).bind(int(group.entries)).fetch_one(&mut *tx).await?.int("id")?;
            let segments: Vec<_> = group.segments.iter().map(|hash| hex(&hash.0)).collect();
            sqlx::query(
                "INSERT INTO manifest_segments (group_id, seq, blob_id)
                 SELECT ?2, j.key, l.id FROM json_each(?1) j CROSS JOIN blobs l ON l.project_id = ?3 AND l.content_hash = unhex(j.value)",
            )
            .bind(json(&segments))
            .bind(id)
            .bind(push.project)
            .execute(&mut *tx)
            .await?;
            place(&mut tx, &push, &blobs.into_values().collect::<Vec<_>>(), now).await?;
        }
        commit(tx, Point::GroupsRecorded).await
    }
}

const ROOT: &str = "SELECT filepath AS path, files.* FROM files
     WHERE dataset_id = ?1 AND to_version IS NULL AND filepath = ?3 AND from_version > ?2 LIMIT ?4";

async fn page(
    tx: &mut Tx<'_>,
    sql: &'static str,
    push: &OpenRow,
    (since, after): (Version, &[u8]),
    limit: u32,
) -> Result<Vec<SqliteRow>, Fail> {
    let query =
        sqlx::query(sql).bind(push.dataset).bind(int(since.0)).bind(after.to_vec()).bind(i64::from(limit));
    Ok(query.fetch_all(&mut **tx).await?)
}

async fn parent_version(tx: &mut Tx<'_>, push: &OpenRow) -> Result<i64, Fail> {
    let row = sqlx::query("SELECT coalesce((SELECT version FROM changesets WHERE id = ?), 0) AS version");
    row.bind(push.parent).fetch_one(&mut **tx).await?.int("version")
}

async fn group(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    kind: GroupKind,
    through: i64,
) -> Result<Option<ManifestGroup>, Fail> {
    let row = sqlx::query(
        "SELECT id, since, through, entries FROM manifest_groups WHERE dataset_id = ? AND kind = ? AND through <= ?
         ORDER BY through DESC LIMIT 1",
    );
    let row = row.bind(push.dataset).bind(kind.as_str()).bind(through).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(None) };
    let segments = sqlx::query(
        "SELECT l.* FROM manifest_segments s JOIN blobs l ON l.id = s.blob_id WHERE s.group_id = ? ORDER BY s.seq",
    );
    let segments = segments.bind(row.int("id")?).fetch_all(&mut **tx).await?;
    let segments = segments.iter().map(manifests::segment).collect::<Result<_, Fail>>()?;
    manifests::group(&row, kind, segments).map(Some)
}
