//! Queued → leased, heartbeats, and where to read from.

use std::time::Duration;

use n2s_catalog::rows::{Columns, int, jobs};
use n2s_catalog::{Claim, ClaimRef, ClaimTarget, Copy, LeaseTerms, StagedKey, Ticket, UploadTarget};
use n2s_domain::limits::LOSSES_BEFORE_ALONE;
use n2s_domain::{BackendId, BlobId, ChangesetId, Epoch, JobId, SealedHash, Timestamp, VaultId};
use n2s_failpoints::Point;
use sqlx::Row as _;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::{json, rows, unhex};
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
        let claimed = sqlx::query(
            "SELECT json_group_array(DISTINCT j.id) FROM json_each(?1) t CROSS JOIN jobs j ON j.id = t.value ->> 0
             WHERE j.dispatch_seq = t.value ->> 1 AND j.state = 1 AND j.backend_id = ?2",
        );
        let claimed = claimed.bind(json(&list)).bind(backend.0).fetch_one(&mut *tx).await?;
        let claimed: &str = claimed.try_get(0)?;
        let leased = sqlx::query(
            "UPDATE jobs SET state = 2, epoch = epoch + 1, deadline = min(?2, ?3), held_until = ?3
             WHERE id IN (SELECT value FROM json_each(?1))",
        );
        let leased = leased.bind(claimed).bind(now.after(terms.lease).as_micros());
        leased.bind(now.after(terms.held_max).as_micros()).execute(&mut *tx).await?;
        let mut claims = uploads(&mut tx, backend, claimed).await?;
        if claims.len() < tickets.len() {
            claims.extend(manifests(&mut tx, claimed).await?);
        }
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

/// An upload as it comes from the database.
type Upload = ((i64, u64, u32, u32), (i64, String, u64), (u32, Option<i64>, String, i64));

async fn uploads(tx: &mut Tx<'_>, backend: BackendId, claimed: &str) -> Result<Vec<Claim>, Fail> {
    let found = sqlx::query(
        "SELECT json_group_array(json_array(json_array(j.id, j.epoch, j.retry_count, j.lost_count),
            json_array(j.blob_id, hex(l.sealed_hash), l.encrypted_size),
            json_array(l.epoch, l.staging_id, hex(p.vault_id), s.damaged_at IS NOT NULL)))
         FROM json_each(?) c CROSS JOIN jobs j ON j.id = c.value JOIN blobs l ON l.id = j.blob_id
         JOIN blob_backends s ON s.blob_id = l.id AND s.backend_id = j.backend_id
         JOIN projects p ON p.id = l.project_id WHERE j.kind = 'upload'",
    );
    let claim = |(job, blob, sealing): Upload| {
        let ((id, epoch, retry_count, lost_count), (blob, hash, encrypted_size)) = (job, blob);
        let (key_epoch, staging_id, vault, repair) = sealing;
        let sealed_hash = SealedHash(unhex(&hash)?);
        let target = UploadTarget {
            blob: BlobId(blob),
            sealed_hash,
            encrypted_size,
            vault: VaultId(unhex(&vault)?),
            epoch: Epoch(key_epoch),
            staged: staging_id.map(|id| StagedKey { sealed_hash, id }),
            repair: repair != 0,
        };
        Ok(Claim {
            claim: ClaimRef { job: JobId(id), epoch },
            backend,
            retry_count,
            alone: lost_count >= LOSSES_BEFORE_ALONE,
            target: ClaimTarget::Upload(target),
        })
    };
    rows(&found.bind(claimed).fetch_one(&mut **tx).await?)?.into_iter().map(claim).collect()
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
