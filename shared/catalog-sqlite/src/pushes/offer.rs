//! Which blobs to send, and which sealing counts.

use std::collections::BTreeMap;
use std::time::Duration;

use n2s_catalog::decisions::entering::answers;
use n2s_catalog::rows::pushes::{Known, OpenRow};
use n2s_catalog::rows::{Columns as _, int};
use n2s_catalog::{Accepted, Offered, PushLease, StagedBlob};
use n2s_domain::{ContentHash, SealedHash};
use n2s_failpoints::Point;

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::{hex, json, rows, unhex};
use crate::error::Fail;
use crate::placing::{rearm, upload_again};

/// How long ago the push may have extended its lease for an offer not to: far less than the lease lasts.
const TOUCH_EVERY: Duration = Duration::from_secs(10);

impl SqliteCatalog {
    pub(super) async fn offer_contents(
        &self,
        lease: &PushLease,
        contents: &[ContentHash],
    ) -> Result<Vec<Offered>, Fail> {
        // What nobody has is not pinned: no transaction, and no wait for the disk. Whoever sends one of them meanwhile is met by
        // `accept_staged`.
        if self.knows_none(lease, contents).await? {
            return Ok(vec![Offered::Missing; contents.len()]);
        }
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let known = known(&mut tx, &push, contents.iter()).await?;
        pin(&mut tx, &push, known.values().filter(|known| known.sourced).map(|known| known.id)).await?;
        commit(tx, Point::Offered).await?;
        Ok(answers(contents, &known))
    }

    /// Whether none of the contents has a row, and the push holds its lease and has extended it a moment ago: this call does not.
    async fn knows_none(&self, lease: &PushLease, contents: &[ContentHash]) -> Result<bool, Fail> {
        let hashes: Vec<_> = contents.iter().map(|hash| hex(&hash.0)).collect();
        let none = sqlx::query(
            "SELECT 1 FROM changesets c JOIN datasets d ON d.id = c.dataset_id
             WHERE c.uuid = ?2 AND c.lease_token = ?3 AND c.committed_at IS NULL AND c.abandoned_at IS NULL
               AND c.touched_at BETWEEN ?4 AND ?5 AND NOT EXISTS (SELECT 1 FROM json_each(?1) j
                  CROSS JOIN blobs l ON l.project_id = d.project_id AND l.content_hash = unhex(j.value))",
        );
        let none = none.bind(json(&hashes)).bind(lease.changeset.0.as_bytes().to_vec());
        let now = self.now();
        let moment_ago = now - i64::try_from(TOUCH_EVERY.as_micros()).unwrap_or(0);
        let none = none.bind(lease.token.0.as_bytes().to_vec()).bind(moment_ago).bind(now);
        Ok(none.fetch_optional(self.readers()).await?.is_some())
    }

    pub(super) async fn accept_staged(
        &self,
        lease: &PushLease,
        blobs: &[StagedBlob],
    ) -> Result<Vec<Accepted>, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let mut known = known(&mut tx, &push, blobs.iter().map(|blob| &blob.content_hash)).await?;
        let mut accepted = Vec::with_capacity(blobs.len());
        let (mut new, mut lost) = (Vec::new(), Vec::new());
        for blob in blobs {
            let keep_staged = match known.get(&blob.content_hash) {
                Some(Known { sourced: true, .. }) => false,
                Some(old) => {
                    lost.push((*old, *blob));
                    true
                }
                None => {
                    new.push(*blob);
                    true
                }
            };
            if keep_staged {
                let id = known.get(&blob.content_hash).map_or(0, |old| old.id);
                known.insert(blob.content_hash, Known { id, sealed: blob.staged.sealed_hash, sourced: true });
            }
            let sealed_hash = known[&blob.content_hash].sealed;
            accepted.push(Accepted { content_hash: blob.content_hash, sealed_hash, keep_staged });
        }
        insert(&mut tx, &push, &new, now).await?;
        for (old, blob) in lost {
            replace(&mut tx, &push, old, blob, now).await?;
        }
        let held = self::known(&mut tx, &push, blobs.iter().map(|blob| &blob.content_hash)).await?;
        pin(&mut tx, &push, held.values().map(|known| known.id)).await?;
        commit(tx, Point::StagedRecorded).await?;
        Ok(accepted)
    }
}

async fn known(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    contents: impl Iterator<Item = &ContentHash>,
) -> Result<BTreeMap<ContentHash, Known>, Fail> {
    let hashes: Vec<_> = contents.map(|hash| hex(&hash.0)).collect();
    let found = sqlx::query(
        "SELECT json_group_array(json_array(l.id, hex(l.content_hash), hex(l.sealed_hash), l.staging_id IS NOT NULL
            OR EXISTS (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed')))
         FROM json_each(?1) j CROSS JOIN blobs l ON l.project_id = ?2 AND l.content_hash = unhex(j.value)",
    );
    let found = found.bind(json(&hashes)).bind(push.project).fetch_one(&mut **tx).await?;
    let known = |(id, content, sealed, sourced): (i64, String, String, i64)| {
        let known = Known { id, sealed: SealedHash(unhex(&sealed)?), sourced: sourced != 0 };
        Ok((ContentHash(unhex(&content)?), known))
    };
    rows(&found)?.into_iter().map(known).collect()
}

async fn pin(tx: &mut Tx<'_>, push: &OpenRow, blobs: impl Iterator<Item = i64>) -> Result<(), Fail> {
    let blobs: Vec<_> = blobs.collect();
    if blobs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO pins (blob_id, changeset_id) SELECT value, ?2 FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(json(&blobs))
    .bind(push.id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert(tx: &mut Tx<'_>, push: &OpenRow, blobs: &[StagedBlob], now: i64) -> Result<(), Fail> {
    let row = |blob: &StagedBlob| {
        let (content, sealed) = (hex(&blob.content_hash.0), hex(&blob.staged.sealed_hash.0));
        (content, int(blob.size), sealed, int(blob.encrypted_size), blob.epoch.0, blob.staged.id)
    };
    sqlx::query(
        "INSERT INTO blobs (project_id, content_hash, size, sealed_hash, encrypted_size, epoch, first_seen, created_at, min_copies,
            staging_id, staged_at)
         SELECT ?2, unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4, ?3, ?4, ?5, value ->> 5, ?4
         FROM json_each(?1)",
    )
    .bind(json(&blobs.iter().map(row).collect::<Vec<_>>()))
    .bind(push.project)
    .bind(push.id)
    .bind(now)
    .bind(push.min_copies)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A content without a source gets one again: the same sealing, or another that takes its place.
async fn replace(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    old: Known,
    blob: StagedBlob,
    now: i64,
) -> Result<(), Fail> {
    if old.sealed != blob.staged.sealed_hash {
        sqlx::query("INSERT INTO blob_replacements (project_id, old_sealed, new_sealed, replaced_at) VALUES (?, ?, ?, ?)")
            .bind(push.project)
            .bind(old.sealed.0.to_vec())
            .bind(blob.staged.sealed_hash.0.to_vec())
            .bind(now)
            .execute(&mut **tx)
            .await?;
        // Whoever still uploads the old bytes has no say any more: the blob is the new ones.
        sqlx::query(
            "UPDATE jobs SET state = 0, due_at = ? WHERE kind = 'upload' AND blob_id = ? AND state = 2",
        )
        .bind(now)
        .bind(old.id)
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query(
        "UPDATE blobs SET sealed_hash = ?, encrypted_size = ?, epoch = ?, staging_id = ?, staged_at = ? WHERE id = ?",
    )
    .bind(blob.staged.sealed_hash.0.to_vec())
    .bind(int(blob.encrypted_size))
    .bind(i64::from(blob.epoch.0))
    .bind(blob.staged.id)
    .bind(now)
    .bind(old.id)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM unsourced WHERE blob_id = ?").bind(old.id).execute(&mut **tx).await?;
    again_everywhere(tx, old.id, now).await
}

/// Copies that were given up for want of a source are tried again, for the versions that wait for them: a file that has not changed
/// is sent for their sake, and makes no entry that would ask for it.
async fn again_everywhere(tx: &mut Tx<'_>, blob: i64, now: i64) -> Result<(), Fail> {
    let failed = sqlx::query("SELECT backend_id FROM blob_backends WHERE blob_id = ? AND status = 'failed'");
    for row in failed.bind(blob).fetch_all(&mut **tx).await? {
        let backend = row.int("backend_id")?;
        rearm(tx, &json(&[blob]), backend, now).await?;
        upload_again(tx, blob, backend, now).await?;
    }
    Ok(())
}
