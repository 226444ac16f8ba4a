//! Commit: the head advances, and what was invisible is a version.

use n2s_catalog::rows::pushes::{OpenRow, contents};
use n2s_catalog::rows::{Columns as _, int};
use n2s_catalog::{CatalogError, CommitPush, Committed, PushLease, StagedObject};
use n2s_domain::Version;
use n2s_failpoints::Point;

use crate::connect::{PostgresCatalog, Tx, commit as committed};
use crate::error::Fail;
use crate::placing::{delta, unpin};

impl PostgresCatalog {
    pub(super) async fn commit(&self, lease: &PushLease, commit: &CommitPush) -> Result<Committed, Fail> {
        let mut tx = self.begin().await?;
        // The dataset first, as `open` does.
        let dataset = sqlx::query(
            "SELECT 1 FROM datasets WHERE id = (SELECT dataset_id FROM changesets WHERE uuid = $1) FOR NO KEY UPDATE",
        );
        dataset.bind(lease.changeset.0).execute(&mut *tx).await?;
        if let Some(version) = committed_before(&mut tx, lease).await? {
            return Ok(Committed { version, repeated: true });
        }
        let push = self.hold(&mut tx, lease).await?;
        check(&mut tx, &push, commit.batches).await?;
        put_object(&mut tx, push.id, "header", &commit.header).await?;
        put_object(&mut tx, push.id, "body", &commit.body).await?;
        // The token stays, so that a repeated commit is recognised; the lease is over because committed_at is set.
        sqlx::query(
            "UPDATE changesets SET committed_at = n2s_now(), status = 'pushing', lease_until = NULL WHERE id = $1",
        )
        .bind(push.id)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE datasets SET head_id = $2 WHERE id = $1")
            .bind(push.dataset)
            .bind(push.id)
            .execute(&mut *tx)
            .await?;
        // Blobs that were offered and then not needed; the rest were unpinned by their entries.
        unpin(&mut tx, &push, None).await?;
        sqlx::query("DELETE FROM push_batches WHERE changeset_id = $1")
            .bind(push.id)
            .execute(&mut *tx)
            .await?;
        for &backend in &push.backends {
            delta(&mut tx, push.id, backend, 0, 0).await?;
        }
        committed(tx, Point::PushCommitted).await?;
        Ok(Committed { version: Version(u64::try_from(push.version).unwrap_or(0)), repeated: false })
    }
}

async fn committed_before(tx: &mut Tx, lease: &PushLease) -> Result<Option<Version>, Fail> {
    let row = sqlx::query(
        "SELECT version FROM changesets WHERE uuid = $1 AND lease_token = $2 AND committed_at IS NOT NULL",
    )
    .bind(lease.changeset.0)
    .bind(lease.token.0)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| row.version("version")).transpose()
}

async fn check(tx: &mut Tx, push: &OpenRow, announced: u64) -> Result<(), Fail> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM push_batches WHERE changeset_id = $1) AS arrived,
            (SELECT head_id FROM datasets WHERE id = $2) AS head",
    );
    let row = row.bind(push.id).bind(push.dataset).fetch_one(&mut **tx).await?;
    let arrived = row.count("arrived")?;
    if arrived != announced {
        return Err(CatalogError::BatchesMissing { arrived, announced }.into());
    }
    if row.int_opt("head")? != push.parent {
        return Err(CatalogError::HeadMoved.into());
    }
    // Driven from `unsourced`, which is normally empty.
    let lost = sqlx::query(
        "SELECT l.content_hash FROM unsourced u CROSS JOIN LATERAL (SELECT l.content_hash FROM blobs l WHERE l.id = u.blob_id OFFSET 0) l
         WHERE EXISTS (SELECT 1 FROM files f WHERE f.blob_id = u.blob_id AND f.changeset_id = $1)
            OR EXISTS (SELECT 1 FROM file_blobs p JOIN files f ON f.id = p.file_id
                       WHERE p.blob_id = u.blob_id AND f.changeset_id = $1)
            OR EXISTS (SELECT 1 FROM manifest_segments s JOIN manifest_groups g ON g.id = s.group_id
                       WHERE s.blob_id = u.blob_id AND g.changeset_id = $1)",
    );
    let lost = lost.bind(push.id).fetch_all(&mut **tx).await?;
    if lost.is_empty() {
        return Ok(());
    }
    Err(CatalogError::Unsourced(contents(&lost)?).into())
}

async fn put_object(
    tx: &mut Tx,
    changeset: i64,
    part: &'static str,
    object: &StagedObject,
) -> Result<(), Fail> {
    sqlx::query("INSERT INTO manifest_objects (changeset_id, part, sealed_hash, size, staging_id) VALUES ($1, $2, $3, $4, $5)")
        .bind(changeset)
        .bind(part)
        .bind(object.staged.sealed_hash.0.to_vec())
        .bind(int(object.size))
        .bind(object.staged.id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
