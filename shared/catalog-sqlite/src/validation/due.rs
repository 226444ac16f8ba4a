//! A store's oldest proofs, straight from their index.

use n2s_catalog::ProofPage;
use n2s_domain::{BackendId, Timestamp};
use sqlx::sqlite::SqliteRow;

use super::{blob_proof, manifest_proof};
use crate::connect::SqliteCatalog;
use crate::decode::col;
use crate::error::Fail;

// A pair of columns compared with a pair of values does not lead SQLite into an index on an expression.
pub(super) const MANIFESTS: &str = "
    SELECT c.uuid, s.changeset_id AS row, s.backend_id, coalesce(s.verified_at, s.completed_at) AS proven_at,
        (SELECT coalesce(sum(o.size), 0) FROM manifest_objects o WHERE o.changeset_id = s.changeset_id) AS bytes
    FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
    WHERE s.backend_id = ?1 AND s.manifest = 'completed' AND coalesce(s.verified_at, s.completed_at) < ?2
      AND coalesce(s.verified_at, s.completed_at) >= ?3
      AND (coalesce(s.verified_at, s.completed_at) > ?3 OR s.changeset_id > ?4)
    ORDER BY coalesce(s.verified_at, s.completed_at), s.changeset_id LIMIT ?5";
pub(super) const BLOBS: &str = "
    SELECT s.blob_id, s.blob_id AS row, s.backend_id, coalesce(s.verified_at, s.completed_at) AS proven_at, l.encrypted_size
    FROM blob_backends s JOIN blobs l ON l.id = s.blob_id
    WHERE s.backend_id = ?1 AND s.status = 'completed' AND coalesce(s.verified_at, s.completed_at) < ?2
      AND coalesce(s.verified_at, s.completed_at) >= ?3
      AND (coalesce(s.verified_at, s.completed_at) > ?3 OR s.blob_id > ?4)
    ORDER BY coalesce(s.verified_at, s.completed_at), s.blob_id LIMIT ?5";

/// Where a page begins: after this time and row, among manifests or blobs.
struct After {
    blobs: bool,
    proven_at: i64,
    row: i64,
}

impl After {
    /// What cannot be read begins anew, which costs time and nothing else.
    fn parse(text: Option<&str>) -> Self {
        let start = Self { blobs: false, proven_at: i64::MIN, row: i64::MIN };
        let parse = |text: &str| {
            let (blobs, place) = match text.split_at_checked(1)? {
                ("m", place) => (false, place),
                ("b", place) => (true, place),
                _ => return None,
            };
            let (proven_at, row) = place.split_once('.')?;
            Some(Self { blobs, proven_at: proven_at.parse().ok()?, row: row.parse().ok()? })
        };
        text.and_then(parse).unwrap_or(start)
    }

    fn text(&self) -> String {
        format!("{}{}.{}", if self.blobs { 'b' } else { 'm' }, self.proven_at, self.row)
    }
}

impl SqliteCatalog {
    pub(super) async fn due_page(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, Fail> {
        let after = After::parse(after);
        let sql = if after.blobs { BLOBS } else { MANIFESTS };
        let rows = sqlx::query(sql).bind(backend.0).bind(before.as_micros()).bind(after.proven_at);
        let rows = rows.bind(after.row).bind(i64::from(limit)).fetch_all(self.readers()).await?;
        let read: fn(&SqliteRow) -> _ = if after.blobs { blob_proof } else { manifest_proof };
        let proofs = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
        let next = match rows.last().filter(|_| rows.len() == limit as usize) {
            Some(row) => {
                let (proven_at, row) = (col(row, "proven_at")?, col(row, "row")?);
                Some(After { proven_at, row, ..after })
            }
            None => (!after.blobs).then_some(After { blobs: true, proven_at: i64::MIN, row: i64::MIN }),
        };
        Ok(ProofPage { proofs, next: next.map(|after| after.text()) })
    }
}
