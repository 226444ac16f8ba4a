//! A store's oldest proofs, straight from their index.

use n2s_catalog::ProofPage;
use n2s_domain::{BackendId, Timestamp};
use sqlx::postgres::PgRow;

use super::{blob_proof, manifest_proof};
use crate::connect::PostgresCatalog;
use crate::decode::{col, time};
use crate::error::Fail;

const MANIFESTS: &str = "
    SELECT c.uuid, s.changeset_id AS row, s.backend_id, coalesce(s.verified_at, s.completed_at) AS proven_at,
        (SELECT coalesce(sum(o.size), 0)::bigint FROM manifest_objects o WHERE o.changeset_id = s.changeset_id) AS bytes
    FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
    WHERE s.backend_id = $1 AND s.manifest = 'completed'
      AND coalesce(s.verified_at, s.completed_at) < timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
      AND (coalesce(s.verified_at, s.completed_at), s.changeset_id) > (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4)
    ORDER BY coalesce(s.verified_at, s.completed_at), s.changeset_id LIMIT $5";
const BLOBS: &str = "
    SELECT s.blob_id, s.blob_id AS row, s.backend_id, coalesce(s.verified_at, s.completed_at) AS proven_at, l.encrypted_size
    FROM blob_backends s JOIN blobs l ON l.id = s.blob_id
    WHERE s.backend_id = $1 AND s.status = 'completed'
      AND coalesce(s.verified_at, s.completed_at) < timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
      AND (coalesce(s.verified_at, s.completed_at), s.blob_id) > (timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4)
    ORDER BY coalesce(s.verified_at, s.completed_at), s.blob_id LIMIT $5";

/// Where a page begins: after this time and row, among manifests or blobs.
struct After {
    blobs: bool,
    proven_at: i64,
    row: i64,
}

impl After {
    /// What cannot be read begins anew, which costs time and nothing else.
    fn parse(text: Option<&str>) -> Self {
        let start = Self { blobs: false, proven_at: 0, row: i64::MIN };
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

impl PostgresCatalog {
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
        let rows = rows.bind(after.row).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        let read: fn(&PgRow) -> _ = if after.blobs { blob_proof } else { manifest_proof };
        let proofs = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
        let next = match rows.last().filter(|_| rows.len() == limit as usize) {
            Some(row) => {
                let (proven_at, row) = (time(row, "proven_at")?.as_micros(), col(row, "row")?);
                Some(After { proven_at, row, ..after })
            }
            None => (!after.blobs).then_some(After { blobs: true, proven_at: 0, row: i64::MIN }),
        };
        Ok(ProofPage { proofs, next: next.map(|after| after.text()) })
    }
}
