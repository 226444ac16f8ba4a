//! A dataset's copies: those of its files, of its manifests' segments, then the manifests, each once.
//!
//! The pages follow the dataset's own rows in the order they were written. A blob that several of them need counts with the first.

use n2s_catalog::decisions::proving::{self, AfterInDataset, Firsts, ScopeRows};
use n2s_catalog::rows::{Columns as _, pairs, validation};
use n2s_catalog::{DatasetScope, Proof, ProofPage};
use sqlx::postgres::PgRow;

use crate::connect::PostgresCatalog;
use crate::error::Fail;

/// Groups of segments in one page: each may have hundreds.
const GROUPS_MAX: i64 = 50;

/// Rows of a version's own files. One version at a time, as in the twin.
const FILES: &str = "SELECT id, from_version, blob_id, size FROM files
     WHERE dataset_id = $1 AND from_version = $2 AND id > $3 ORDER BY id LIMIT $4";
/// The next version with files of its own.
const NEXT: &str =
    "SELECT min(from_version) AS version FROM files WHERE dataset_id = $1 AND from_version > $2";
/// Segments. Ids of a dataset's groups rise with its versions, because one push at a time adds any.
const GROUPS: &str =
    "SELECT g.id, s.blob_id FROM (SELECT id FROM manifest_groups WHERE dataset_id = $1 AND id > $2 ORDER BY id LIMIT $3) g
     LEFT JOIN manifest_segments s ON s.group_id = g.id";

/// Placements of blobs of the page, each with its first row; see the three conditions below.
macro_rules! placements {
    ($unless:literal) => {
        concat!(
            "SELECT s.blob_id, s.backend_id, l.encrypted_size,
                CASE WHEN $4::bool THEN coalesce(s.verified_at, s.completed_at) ELSE coalesce(s.seen_at, s.completed_at) END AS proven_at
             FROM unnest($1::bigint[], $5::bigint[]) j (blob, first) JOIN blobs l ON l.id = j.blob
             JOIN blob_backends s ON s.blob_id = l.id AND s.status = 'completed'
             WHERE ($3::bigint IS NULL OR s.backend_id = $3) AND ",
            $unless
        )
    };
}

/// Not in an earlier file of one blob.
const SINGLES: &str = placements!(
    "NOT EXISTS (SELECT 1 FROM files g WHERE g.blob_id = l.id AND g.id < j.first AND g.dataset_id = $2)"
);
/// Not a file of its own, nor in an earlier file of several.
const PIECES: &str = placements!(
    "NOT EXISTS (SELECT 1 FROM files g WHERE g.blob_id = l.id AND g.dataset_id = $2)
     AND NOT EXISTS (SELECT 1 FROM file_blobs q JOIN files g ON g.id = q.file_id
        WHERE q.blob_id = l.id AND q.file_id < j.first AND g.dataset_id = $2)"
);
/// Not in an earlier group, nor by chance a file.
const SEGMENTS: &str = placements!(
    "NOT EXISTS (SELECT 1 FROM manifest_segments x JOIN manifest_groups y ON y.id = x.group_id
        WHERE x.blob_id = l.id AND x.group_id < j.first AND y.dataset_id = $2)
     AND NOT EXISTS (SELECT 1 FROM files g WHERE g.blob_id = l.id AND g.dataset_id = $2)
     AND NOT EXISTS (SELECT 1 FROM file_blobs q JOIN files g ON g.id = q.file_id WHERE q.blob_id = l.id AND g.dataset_id = $2)"
);

impl PostgresCatalog {
    pub(super) async fn dataset_page(
        &self,
        scope: &DatasetScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, Fail> {
        let (dataset, _) = self.dataset(&scope.project, &scope.dataset).await?;
        let rows = ScopeRows::new(dataset, scope);
        let (proofs, next) = match AfterInDataset::parse(after) {
            AfterInDataset::File(version, id) => self.file_proofs(&rows, (version, id), limit).await?,
            AfterInDataset::Group(id) => self.segment_proofs(&rows, id).await?,
            AfterInDataset::Version(version) => self.manifest_proofs(&rows, version, limit).await?,
        };
        Ok(ProofPage { proofs, next: next.map(AfterInDataset::text) })
    }

    async fn file_proofs(
        &self,
        rows: &ScopeRows,
        (version, id): (i64, i64),
        limit: u32,
    ) -> Result<(Vec<Proof>, Option<AfterInDataset>), Fail> {
        let (files, next) = self.files_after(rows.dataset, (version, id), limit).await?;
        let (singles, several) = proving::blobs_of_files(&files)?;
        let mut proofs = self.placed(SINGLES, &singles, rows).await?;
        let pieces = sqlx::query(
            "SELECT p.blob_id, min(p.file_id) AS file_id FROM file_blobs p WHERE p.file_id = ANY ($1)
             GROUP BY p.blob_id",
        );
        let pieces = pieces.bind(several).fetch_all(&mut *self.link().await?).await?;
        proofs.extend(self.placed(PIECES, &pairs(&pieces, ["blob_id", "file_id"])?, rows).await?);
        Ok((proofs, Some(next)))
    }

    /// At least `limit` rows, if there are, and where the next page begins.
    async fn files_after(
        &self,
        dataset: i64,
        (mut version, mut id): (i64, i64),
        limit: u32,
    ) -> Result<(Vec<PgRow>, AfterInDataset), Fail> {
        let mut files = Vec::new();
        loop {
            let page = sqlx::query(FILES).bind(dataset).bind(version).bind(id).bind(i64::from(limit));
            let page = page.fetch_all(&mut *self.link().await?).await?;
            let whole = page.len() == limit as usize;
            files.extend(page);
            if files.len() >= limit as usize {
                // A version that is at its end has no row after any other.
                let last = files.last().filter(|_| whole).map_or(Ok(i64::MAX), |row| row.int("id"))?;
                return Ok((files, AfterInDataset::File(version, last)));
            }
            let next =
                sqlx::query(NEXT).bind(dataset).bind(version).fetch_one(&mut *self.link().await?).await?;
            let Some(next) = next.int_opt("version")? else {
                return Ok((files, AfterInDataset::Group(0)));
            };
            (version, id) = (next, 0);
        }
    }

    async fn segment_proofs(
        &self,
        rows: &ScopeRows,
        after: i64,
    ) -> Result<(Vec<Proof>, Option<AfterInDataset>), Fail> {
        let segments = sqlx::query(GROUPS);
        let segments = segments
            .bind(rows.dataset)
            .bind(after)
            .bind(GROUPS_MAX)
            .fetch_all(&mut *self.link().await?)
            .await?;
        let (blobs, next) = proving::blobs_of_groups(&segments)?;
        Ok((self.placed(SEGMENTS, &blobs, rows).await?, Some(next)))
    }

    async fn placed(&self, sql: &'static str, blobs: &Firsts, rows: &ScopeRows) -> Result<Vec<Proof>, Fail> {
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, firsts): (Vec<i64>, Vec<i64>) = blobs.iter().map(|(blob, first)| (*blob, *first)).unzip();
        let found = sqlx::query(sql).bind(ids).bind(rows.dataset).bind(rows.backend);
        found
            .bind(rows.reads_bytes)
            .bind(firsts)
            .fetch_all(&mut *self.link().await?)
            .await?
            .iter()
            .map(validation::blob_proof)
            .collect()
    }

    async fn manifest_proofs(
        &self,
        rows: &ScopeRows,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<Proof>, Option<AfterInDataset>), Fail> {
        let versions = sqlx::query(
            "SELECT max(version) AS last FROM (SELECT version FROM changesets WHERE dataset_id = $1 AND version > $2
             ORDER BY version LIMIT $3) v",
        );
        let versions = versions.bind(rows.dataset).bind(after).bind(i64::from(limit));
        let Some(last) = versions.fetch_one(&mut *self.link().await?).await?.int_opt("last")? else {
            return Ok((Vec::new(), None));
        };
        let found = sqlx::query(
            "SELECT c.uuid, s.backend_id,
                CASE WHEN $5::bool THEN coalesce(s.verified_at, s.completed_at) ELSE coalesce(s.seen_at, s.completed_at) END AS proven_at,
                (SELECT coalesce(sum(o.size), 0)::bigint FROM manifest_objects o WHERE o.changeset_id = c.id) AS bytes
             FROM changesets c JOIN changeset_backends s ON s.changeset_id = c.id AND s.manifest = 'completed'
             WHERE c.dataset_id = $1 AND c.version > $2 AND c.version <= $3 AND ($4::bigint IS NULL OR s.backend_id = $4)",
        );
        let found = found.bind(rows.dataset).bind(after).bind(last).bind(rows.backend).bind(rows.reads_bytes);
        let proofs: Result<_, Fail> =
            found.fetch_all(&mut *self.link().await?).await?.iter().map(validation::manifest_proof).collect();
        Ok((proofs?, Some(AfterInDataset::Version(last))))
    }
}
