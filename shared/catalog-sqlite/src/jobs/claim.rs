//! Queued → leased, heartbeats, and where to read from.

use std::time::Duration;

use n2s_catalog::{
    Claim, ClaimRef, ClaimTarget, Copy, LeaseTerms, ManifestObject, ManifestTarget, StagedKey, Ticket,
    UploadTarget,
};
use n2s_domain::limits::LOSSES_BEFORE_ALONE;
use n2s_domain::{BackendId, BlobId, ChangesetId, Epoch, JobId, StoreKey, Timestamp, VaultId, Version};
use n2s_failpoints::Point;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::{array, col, count, int, json, sealed, small};
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
        let claimed = rows.iter().map(|row| col(row, "id")).collect::<Result<Vec<i64>, _>>()?;
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
        rows.iter().map(claim_ref).collect()
    }

    pub(super) async fn copies_of(&self, blob: BlobId) -> Result<Vec<Copy>, Fail> {
        let rows = sqlx::query(
            "SELECT backend_id, location FROM blob_backends WHERE blob_id = ? AND status = 'completed'",
        );
        let rows = rows.bind(blob.0).fetch_all(self.readers()).await?;
        rows.iter()
            .map(|row| {
                Ok(Copy { backend: BackendId(col(row, "backend_id")?), location: col(row, "location")? })
            })
            .collect()
    }

    pub(super) async fn manifests_of(&self, changeset: ChangesetId) -> Result<Vec<BackendId>, Fail> {
        let rows = sqlx::query(
            "SELECT s.backend_id FROM changeset_backends s JOIN changesets c ON c.id = s.changeset_id
             WHERE c.uuid = ? AND s.manifest = 'completed'",
        );
        let rows = rows.bind(changeset.0.as_bytes().to_vec()).fetch_all(self.readers()).await?;
        rows.iter().map(|row| Ok(BackendId(col(row, "backend_id")?))).collect()
    }
}

fn claim_ref(row: &SqliteRow) -> Result<ClaimRef, Fail> {
    Ok(ClaimRef { job: JobId(col(row, "id")?), epoch: count(row, "epoch")? })
}

fn claim(row: &SqliteRow, target: ClaimTarget) -> Result<Claim, Fail> {
    Ok(Claim {
        claim: claim_ref(row)?,
        backend: BackendId(col(row, "backend_id")?),
        retry_count: small(row, "retry_count")?,
        alone: small(row, "lost_count")? >= LOSSES_BEFORE_ALONE,
        target,
    })
}

async fn uploads(tx: &mut Tx<'_>, claimed: &str) -> Result<Vec<Claim>, Fail> {
    let rows = sqlx::query(
        "SELECT j.id, j.epoch, j.backend_id, j.retry_count, j.lost_count, j.blob_id, l.sealed_hash, l.encrypted_size,
            l.epoch AS key_epoch, l.staging_id, p.vault_id, s.damaged_at IS NOT NULL AS repair
         FROM json_each(?) c CROSS JOIN jobs j ON j.id = c.value JOIN blobs l ON l.id = j.blob_id
         JOIN blob_backends s ON s.blob_id = l.id AND s.backend_id = j.backend_id
         JOIN projects p ON p.id = l.project_id WHERE j.kind = 'upload'",
    );
    let target = |row| {
        let sealed_hash = sealed(row, "sealed_hash")?;
        let staged = col::<Option<i64>>(row, "staging_id")?.map(|id| StagedKey { sealed_hash, id });
        let target = UploadTarget {
            blob: BlobId(col(row, "blob_id")?),
            sealed_hash,
            encrypted_size: count(row, "encrypted_size")?,
            vault: VaultId(array(row, "vault_id")?),
            epoch: Epoch(small(row, "key_epoch")?),
            staged,
            repair: col(row, "repair")?,
        };
        claim(row, ClaimTarget::Upload(target))
    };
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(target).collect()
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
    let target = |row| {
        let target = ManifestTarget {
            changeset: ChangesetId(Uuid::from_bytes(array(row, "uuid")?)),
            store_key: StoreKey(array(row, "store_key")?),
            version: Version(count(row, "version")?),
            vault: VaultId(array(row, "vault_id")?),
            body: object(row, ["body_hash", "body_size", "body_staged"])?,
            header: object(row, ["header_hash", "header_size", "header_staged"])?,
            repair: col(row, "repair")?,
        };
        claim(row, ClaimTarget::Manifest(Box::new(target)))
    };
    rows.bind(claimed).fetch_all(&mut **tx).await?.iter().map(target).collect()
}

fn object(row: &SqliteRow, [hash, size, staged]: [&'static str; 3]) -> Result<ManifestObject, Fail> {
    let sealed_hash = sealed(row, hash)?;
    let staged = col::<Option<i64>>(row, staged)?.map(|id| StagedKey { sealed_hash, id });
    Ok(ManifestObject { sealed_hash, size: count(row, size)?, staged })
}
