//! A store's oldest proofs, straight from their index.

use n2s_catalog::ProofPage;
use n2s_catalog::decisions::proving::AfterOnStore;
use n2s_domain::{BackendId, Timestamp};

use crate::connect::PostgresCatalog;
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

impl PostgresCatalog {
    pub(super) async fn due_page(
        &self,
        backend: BackendId,
        before: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<ProofPage, Fail> {
        let after = AfterOnStore::parse(after);
        let sql = if after.blobs { BLOBS } else { MANIFESTS };
        let rows = sqlx::query(sql).bind(backend.0).bind(before.as_micros()).bind(after.proven_at);
        let rows = rows.bind(after.row).bind(i64::from(limit)).fetch_all(&mut *self.link().await?).await?;
        after.page(&rows, limit)
    }
}
