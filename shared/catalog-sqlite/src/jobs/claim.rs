//! Queued → leased, heartbeats, and where to read from.

use std::time::Duration;

use n2s_catalog::rows::{Columns, column, int, jobs};
use n2s_catalog::{Claim, ClaimRef, Copy, LeaseTerms, Ticket};
use n2s_domain::{BackendId, BlobId, ChangesetId, Timestamp};
use n2s_failpoints::Point;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::json;
use crate::error::Fail;

impl SqliteCatalog {
    /// A second claimer finds the state or the sequence changed and updates nothing.
    pub(super) async fn lease(
        &self,
        backend: BackendId,
        tickets: &[Ticket],
        terms: &LeaseTerms,
    ) -> Result<Vec<Claim>, Fail> {
        let now = Timestamp::from_micros(self.now());
        let list: Vec<_> = tickets.iter().map(|ticket| (ticket.job.0, int(ticket.dispatch_seq))).collect();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = sqlx::query(
            "UPDATE jobs SET state = 2, epoch = epoch + 1, deadline = min(?3, ?4), held_until = ?4 FROM json_each(?1) j
             WHERE jobs.id = j.value ->> 0 AND jobs.dispatch_seq = j.value ->> 1 AND jobs.state = 1 AND jobs.backend_id = ?2
             RETURNING jobs.id",
        );
        let rows = rows.bind(json(&list)).bind(backend.0).bind(now.after(terms.lease).as_micros());
        let rows = rows.bind(now.after(terms.held_max).as_micros()).fetch_all(&mut *tx).await?;
        let claimed = column(&rows, "id")?;
        let claimed = json(&claimed);
        let mut claims = uploads(&mut tx, &claimed).await?;
        claims.extend(manifests(&mut tx, &claimed).await?);
        commit(tx, Point::Claimed).await?;
        Ok(claims)
    }

    pub(super) async fn beat(&self, claims: &[ClaimRef], lease: Duration) -> Result<Vec<ClaimRef>, Fail> {
        let list: Vec<_> = claims.iter().map(|claim| (claim.job.0, int(claim.epoch))).collect();
        let until = Timestamp::from_micros(self.now()).after(lease);
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let rows = sqlx::query(
            "UPDATE jobs SET deadline = min(?2, held_until) FROM json_each(?1) j
             WHERE jobs.id = j.value ->> 0 AND jobs.epoch = j.value ->> 1 AND jobs.state = 2 RETURNING jobs.id, jobs.epoch",
        );
        let rows = rows.bind(json(&list)).bind(until.as_micros()).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(jobs::claim_ref).collect()
    }

    pub(super) async fn copies_of(&self, blob: BlobId) -> Result<Vec<Copy>, Fail> {
        let rows = sqlx::query(
            "SELECT backend_id, location FROM blob_backends WHERE blob_id = ? AND status = 'completed'",
        );
        let rows = rows.bind(blob.0).fetch_all(self.readers()).await?;
        rows.iter().map(jobs::copy).collect()
    }

    pub(super) async fn manifests_of(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, Fail> {
        let rows = sqlx::query(
            "SELECT s.backend_id FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
             WHERE c.uuid = ? AND s.manifest = 'completed'",
        );
        let rows = rows.bind(changeset.0.as_bytes().to_vec()).fetch_all(self.readers()).await?;
        rows.iter().map(Columns::backend).collect()
    }
}

async fn uploads(tx: &mut Tx<'_>, claimed: &str) -> Result<Vec<Claim>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.epoch, j.backend_id, j.retry_count, j.lost_count, j.blob_id, l.sealed_hash, l.encrypted_size,
            l.epoch AS key_epoch, l.staging_id, p.vault_id, s.damaged_at IS NOT NULL AS repair
         FROM json_each(?) c CROSS JOIN jobs j ON j.id = c.value JOIN blobs l ON l.id = j.blob_id
         JOIN blob_backends s ON s.blob_id = l.id AND s.backend_id = j.backend_id
         JOIN projects p ON p.id = l.project_id WHERE j.kind = 'upload'",
    );
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(jobs::upload).collect()
}

async fn manifests(tx: &mut Tx<'_>, claimed: &str) -> Result<Vec<Claim>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.epoch, j.backend_id, j.retry_count, j.lost_count, c.uuid, c.version, d.store_key, p.vault_id,
            b.sealed_hash AS body_hash, b.size AS body_size, b.staging_id AS body_staged,
            h.sealed_hash AS header_hash, h.size AS header_size, h.staging_id AS header_staged, s.damaged_at IS NOT NULL AS repair
         FROM json_each(?) e CROSS JOIN jobs j ON j.id = e.value JOIN changesets c ON c.id = j.changeset_id
         JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = j.backend_id JOIN datasets d ON d.id = c.dataset_id JOIN projects p ON p.id = d.project_id
         JOIN manifest_objects b ON b.changeset_id = c.id AND b.part = 'body'
         JOIN manifest_objects h ON h.changeset_id = c.id AND h.part = 'header'
         WHERE j.kind = 'manifest'",
    );
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(jobs::manifest).collect()
}
