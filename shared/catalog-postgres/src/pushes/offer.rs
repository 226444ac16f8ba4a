//! Which blobs to send, and which sealing counts. Blobs are locked before they are looked at: what is pinned here cannot leave staging.

use std::collections::{BTreeMap, BTreeSet};

use n2s_catalog::decisions::entering::answers;
use n2s_catalog::rows::pushes::{self, Known, OpenRow};
use n2s_catalog::rows::{int, pairs};
use n2s_catalog::{Accepted, Offered, PushLease, StagedBlob};
use n2s_domain::ContentHash;
use n2s_failpoints::Point;

use crate::connect::{PostgresCatalog, Tx, commit};
use crate::decode::hashes;
use crate::error::Fail;
use crate::placing::{lock_contents, rearm, uploads_again};

impl PostgresCatalog {
    pub(super) async fn offer_contents(
        &self,
        lease: &PushLease,
        contents: &[ContentHash],
    ) -> Result<Vec<Offered>, Fail> {
        let mut tx = self.begin().await?;
        let push = self.hold(&mut tx, lease).await?;
        let known = known(&mut tx, &push, contents.iter()).await?;
        pin(&mut tx, &push, known.values().filter(|known| known.sourced).map(|known| known.id)).await?;
        commit(tx, Point::Offered).await?;
        Ok(answers(contents, &known))
    }

    /// New contents are inserted first: of two pushes that send one at once, the second waits, and then finds the first's.
    pub(super) async fn accept_staged(
        &self,
        lease: &PushLease,
        blobs: &[StagedBlob],
    ) -> Result<Vec<Accepted>, Fail> {
        let mut tx = self.begin().await?;
        let push = self.hold(&mut tx, lease).await?;
        let mut firsts: BTreeMap<ContentHash, StagedBlob> = BTreeMap::new();
        for blob in blobs {
            firsts.entry(blob.content_hash).or_insert(*blob);
        }
        let mut kept = insert(&mut tx, &push, &firsts).await?;
        let mut known = known(&mut tx, &push, firsts.keys()).await?;
        for (hash, blob) in &firsts {
            let Some(old) = known.get_mut(hash) else { continue };
            if !old.sourced {
                replace(&mut tx, &push, *old, *blob).await?;
                *old = Known { sealed: blob.staged.sealed_hash, sourced: true, ..*old };
                kept.insert(*hash);
            }
        }
        pin(&mut tx, &push, known.values().map(|known| known.id)).await?;
        commit(tx, Point::StagedRecorded).await?;
        let answer = |blob: &StagedBlob| {
            // Of a content that comes twice in one call, the first is kept.
            let keep_staged = kept.remove(&blob.content_hash);
            let sealed_hash =
                known.get(&blob.content_hash).map_or(blob.staged.sealed_hash, |known| known.sealed);
            Accepted { content_hash: blob.content_hash, sealed_hash, keep_staged }
        };
        Ok(blobs.iter().map(answer).collect())
    }
}

async fn known(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    contents: impl Iterator<Item = &ContentHash>,
) -> Result<BTreeMap<ContentHash, Known>, Fail> {
    let contents = hashes(contents);
    lock_contents(tx, push.project, &contents).await?;
    let rows = sqlx::query(
        "SELECT l.id, l.content_hash, l.sealed_hash, l.staging_id IS NOT NULL
            OR (SELECT count(*) FROM blob_backends s WHERE s.blob_id = l.id AND s.status = 'completed') > 0 AS sourced
         FROM unnest($1::bytea[]) h (content) CROSS JOIN LATERAL (SELECT l.id, l.content_hash, l.sealed_hash, l.staging_id
            FROM blobs l WHERE l.project_id = $2 AND l.content_hash = h.content OFFSET 0) l",
    );
    let rows = rows.bind(contents).bind(push.project).fetch_all(&mut **tx).await?;
    rows.iter().map(pushes::known).collect()
}

async fn pin(tx: &mut Tx<'_>, push: &OpenRow, blobs: impl Iterator<Item = i64>) -> Result<(), Fail> {
    let blobs: Vec<_> = blobs.collect();
    if blobs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO pins (blob_id, changeset_id) SELECT l, $2 FROM unnest($1::bigint[]) l ON CONFLICT DO NOTHING",
    )
    .bind(blobs)
    .bind(push.id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Inserts the contents that have no row yet, in hash order; returns them.
async fn insert(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    blobs: &BTreeMap<ContentHash, StagedBlob>,
) -> Result<BTreeSet<ContentHash>, Fail> {
    let numbers = |of: fn(&StagedBlob) -> i64| blobs.values().map(of).collect::<Vec<i64>>();
    let rows = sqlx::query(
        "INSERT INTO blobs (project_id, content_hash, size, sealed_hash, encrypted_size, epoch, first_seen, min_copies,
            staging_id, staged_at)
         SELECT $1, j.content, j.size, j.sealed, j.encrypted, j.epoch, $2, $3, j.staging, n2s_now()
         FROM unnest($4::bytea[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[])
            j (content, size, sealed, encrypted, epoch, staging)
         WHERE (SELECT count(*) FROM blobs l WHERE l.project_id = $1 AND l.content_hash = j.content) = 0
         ORDER BY j.content
         ON CONFLICT (project_id, content_hash) DO NOTHING RETURNING content_hash",
    )
    .bind(push.project)
    .bind(push.id)
    .bind(push.min_copies)
    .bind(hashes(blobs.keys()))
    .bind(numbers(|blob| int(blob.size)))
    .bind(blobs.values().map(|blob| blob.staged.sealed_hash.0.to_vec()).collect::<Vec<_>>())
    .bind(numbers(|blob| int(blob.encrypted_size)))
    .bind(numbers(|blob| i64::from(blob.epoch.0)))
    .bind(numbers(|blob| blob.staged.id))
    .fetch_all(&mut **tx)
    .await?;
    pushes::contents(&rows)
}

/// Whoever still uploads the old bytes of a locked blob has no say any more: the blob is the new ones. The jobs are locked before they are looked at,
/// so that a claim under way is seen; against the order of locks, for which the server may begin one of the two again.
async fn fence(tx: &mut Tx<'_>, blob: i64) -> Result<(), Fail> {
    for statement in [
        "SELECT id FROM jobs WHERE kind = 'upload' AND blob_id = $1 ORDER BY id FOR NO KEY UPDATE",
        "UPDATE jobs SET state = 0, due_at = n2s_now() WHERE kind = 'upload' AND blob_id = $1 AND state = 2",
    ] {
        sqlx::query(statement).bind(blob).execute(&mut **tx).await?;
    }
    Ok(())
}

/// A content without a source gets one again: the same sealing, or another that takes its place.
async fn replace(tx: &mut Tx<'_>, push: &OpenRow, old: Known, blob: StagedBlob) -> Result<(), Fail> {
    if old.sealed != blob.staged.sealed_hash {
        sqlx::query("INSERT INTO blob_replacements (project_id, old_sealed, new_sealed) VALUES ($1, $2, $3)")
            .bind(push.project)
            .bind(old.sealed.0.to_vec())
            .bind(blob.staged.sealed_hash.0.to_vec())
            .execute(&mut **tx)
            .await?;
        fence(tx, old.id).await?;
    }
    sqlx::query(
        "UPDATE blobs SET sealed_hash = $1, encrypted_size = $2, epoch = $3, staging_id = $4, staged_at = n2s_now() WHERE id = $5",
    )
    .bind(blob.staged.sealed_hash.0.to_vec())
    .bind(int(blob.encrypted_size))
    .bind(i64::from(blob.epoch.0))
    .bind(blob.staged.id)
    .bind(old.id)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM unsourced WHERE blob_id = $1").bind(old.id).execute(&mut **tx).await?;
    again_everywhere(tx, old.id).await
}

/// Copies that were given up for want of a source are tried again, for the versions that wait for them: a file that has not changed
/// is sent for their sake, and makes no entry that would ask for it.
async fn again_everywhere(tx: &mut Tx<'_>, blob: i64) -> Result<(), Fail> {
    let failed = sqlx::query(
        "SELECT blob_id, backend_id FROM blob_backends WHERE blob_id = $1 AND status = 'failed' ORDER BY backend_id FOR NO KEY UPDATE",
    );
    let failed = failed.bind(blob).fetch_all(&mut **tx).await?;
    let failed: Vec<_> = pairs(&failed, ["blob_id", "backend_id"])?;
    if failed.is_empty() {
        return Ok(());
    }
    rearm(tx, &failed).await?;
    uploads_again(tx, &failed).await
}
