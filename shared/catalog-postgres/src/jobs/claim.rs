//! Queued → leased, heartbeats, and where to read from.

use std::time::Duration;

use n2s_catalog::rows::{Columns, column, int, jobs};
use n2s_catalog::{Claim, ClaimRef, Copy, LeaseTerms, Ticket};
use n2s_domain::{BackendId, BlobId, ChangesetId};
use n2s_failpoints::Point;

use crate::connect::{PostgresCatalog, Tx, commit};
use crate::decode::{arrays, micros};
use crate::error::Fail;

impl PostgresCatalog {
    /// A second claimer waits for the row, then finds the state or the sequence changed and gets nothing.
    pub(super) async fn lease(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, Fail> {
        let (ids, seqs) = arrays(tickets.iter().map(|ticket| (ticket.job.0, int(ticket.dispatch_seq))));
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "WITH mine AS MATERIALIZED (
                SELECT j.id FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) t (id, seq) ORDER BY id) t CROSS JOIN LATERAL (
                    SELECT j.id FROM jobs j WHERE j.id = t.id AND j.dispatch_seq = t.seq AND j.state = 1 AND j.backend_id = $3
                    FOR NO KEY UPDATE) j)
             UPDATE jobs SET state = 2, epoch = jobs.epoch + 1,
                deadline = n2s_now() + least($4::bigint, $5::bigint) * interval '1 microsecond',
                held_until = n2s_now() + $5::bigint * interval '1 microsecond'
             WHERE jobs.id = ANY (ARRAY (SELECT id FROM mine)) RETURNING jobs.id",
        );
        let rows =
            rows.bind(ids).bind(seqs).bind(backend.0).bind(micros(terms.lease)).bind(micros(terms.held_max));
        let rows = rows.fetch_all(&mut *tx).await?;
        let claimed = column(&rows, "id")?;
        let mut claims = uploads(&mut tx, &claimed).await?;
        if claims.len() < claimed.len() {
            claims.extend(manifests(&mut tx, &claimed).await?);
        }
        commit(tx, Point::Claimed).await?;
        Ok(claims)
    }

    pub(super) async fn beat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, Fail> {
        let (ids, epochs) = arrays(claims.iter().map(|claim| (claim.job.0, int(claim.epoch))));
        let rows = sqlx::query(
            "WITH mine AS MATERIALIZED (
                SELECT j.id FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) t (id, epoch) ORDER BY id) t CROSS JOIN LATERAL (
                    SELECT j.id FROM jobs j WHERE j.id = t.id AND j.epoch = t.epoch AND j.state = 2 FOR NO KEY UPDATE) j)
             UPDATE jobs SET deadline = least(n2s_now() + $3::bigint * interval '1 microsecond', jobs.held_until)
             WHERE jobs.id = ANY (ARRAY (SELECT id FROM mine)) RETURNING jobs.id, jobs.epoch",
        );
        let rows =
            rows.bind(ids).bind(epochs).bind(micros(lease)).fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(jobs::claim_ref).collect()
    }

    pub(super) async fn copies_of(&self, blob: BlobId) -> Result<Vec<Copy>, Fail> {
        let rows = sqlx::query(
            "SELECT backend_id, location FROM blob_backends WHERE blob_id = $1 AND status = 'completed' ORDER BY backend_id",
        );
        let rows = rows.bind(blob.0).fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(jobs::copy).collect()
    }

    pub(super) async fn manifests_of(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, Fail> {
        let rows = sqlx::query(
            "SELECT s.backend_id FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
             WHERE c.uuid = $1 AND s.manifest = 'completed' ORDER BY s.backend_id",
        );
        let rows = rows.bind(changeset.0).fetch_all(&mut *self.link().await?).await?;
        rows.iter().map(Columns::backend).collect()
    }
}

/// Each job's rows are looked up by themselves (`OFFSET 0` keeps the planner from joining tables of millions for a few of their rows).
async fn uploads(tx: &mut Tx, claimed: &[i64]) -> Result<Vec<Claim>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.epoch, j.backend_id, j.retry_count, j.lost_count, j.blob_id, l.sealed_hash, l.encrypted_size,
            l.key_epoch, l.staging_id, p.vault_id, s.repair
         FROM jobs j CROSS JOIN LATERAL (SELECT l.project_id, l.sealed_hash, l.encrypted_size, l.epoch AS key_epoch, l.staging_id
            FROM blobs l WHERE l.id = j.blob_id OFFSET 0) l
         CROSS JOIN LATERAL (SELECT s.damaged_at IS NOT NULL AS repair FROM blob_backends s
            WHERE s.blob_id = j.blob_id AND s.backend_id = j.backend_id OFFSET 0) s
         JOIN projects p ON p.id = l.project_id
         WHERE j.id = ANY ($1) AND j.blob_id IS NOT NULL ORDER BY j.id",
    );
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(jobs::upload).collect()
}

async fn manifests(tx: &mut Tx, claimed: &[i64]) -> Result<Vec<Claim>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.epoch, j.backend_id, j.retry_count, j.lost_count, c.uuid, c.version, d.store_key, p.vault_id,
            b.sealed_hash AS body_hash, b.size AS body_size, b.staging_id AS body_staged,
            h.sealed_hash AS header_hash, h.size AS header_size, h.staging_id AS header_staged,
            s.damaged_at IS NOT NULL AS repair
         FROM jobs j CROSS JOIN LATERAL (SELECT c.uuid, c.version, c.dataset_id FROM changesets c WHERE c.id = j.changeset_id OFFSET 0) c
         CROSS JOIN LATERAL (SELECT s.damaged_at FROM changeset_backends s
            WHERE s.changeset_id = j.changeset_id AND s.backend_id = j.backend_id OFFSET 0) s
         CROSS JOIN LATERAL (SELECT d.store_key, d.project_id FROM datasets d WHERE d.id = c.dataset_id OFFSET 0) d
         JOIN projects p ON p.id = d.project_id
         CROSS JOIN LATERAL (SELECT o.* FROM manifest_objects o WHERE o.changeset_id = j.changeset_id AND o.part = 'body' OFFSET 0) b
         CROSS JOIN LATERAL (SELECT o.* FROM manifest_objects o WHERE o.changeset_id = j.changeset_id AND o.part = 'header' OFFSET 0) h
         WHERE j.id = ANY ($1) AND j.blob_id IS NULL ORDER BY j.id",
    );
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(jobs::manifest).collect()
}
