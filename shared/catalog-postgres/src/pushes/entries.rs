//! Recording a batch of changes.

use std::collections::BTreeMap;

use n2s_catalog::decisions::entering::{Tally, contents, puts, search_text};
use n2s_catalog::rows::pushes::{self, Before, OpenRow};
use n2s_catalog::rows::{files, int};
use n2s_catalog::{EntriesRecorded, PushLease};
use n2s_domain::{ContentHash, EntryChange, FileEntry};
use n2s_failpoints::Point;

use crate::connect::{PostgresCatalog, Tx, commit};
use crate::error::Fail;
use crate::placing::{place, sourced};

impl PostgresCatalog {
    pub(super) async fn enter(
        &self,
        lease: &PushLease,
        batch: u64,
        changes: &[EntryChange],
    ) -> Result<EntriesRecorded, Fail> {
        let mut tx = self.begin().await?;
        let push = self.hold(&mut tx, lease).await?;
        let first = sqlx::query(
            "INSERT INTO push_batches (changeset_id, batch) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        );
        let first = first.bind(push.id).bind(int(batch)).execute(&mut *tx).await?.rows_affected() == 1;
        if !first {
            return Ok(EntriesRecorded { jobs: 0, repeated: true });
        }
        let blobs = sourced(&mut tx, push.project, &contents(changes)).await?;
        let before = before(&mut tx, &push, changes).await?;
        end_rows(&mut tx, &push, &before).await?;
        insert_rows(&mut tx, &push, changes, &blobs).await?;
        let ids: Vec<i64> = blobs.into_values().collect();
        let jobs = place(&mut tx, &push, &ids).await?;
        count(&mut tx, &push, changes, &before).await?;
        commit(tx, Point::EntriesRecorded).await?;
        Ok(EntriesRecorded { jobs, repeated: false })
    }
}

/// Each path is looked up by itself, as contents are: a plan for all at once may read every file of the dataset. So may one that knows the
/// dataset's number when it is made: the statistics of a catalog with history say of a new one that it has no files, for which any index
/// would do. Hence the number comes as a row of its own.
async fn before(
    tx: &mut Tx,
    push: &OpenRow,
    changes: &[EntryChange],
) -> Result<BTreeMap<Vec<u8>, Before>, Fail> {
    let paths: Vec<_> = changes.iter().map(|change| change.path().as_bytes().to_vec()).collect();
    let rows = sqlx::query(
        "SELECT f.id, f.filepath, f.from_version = $3 AS own, f.size FROM (SELECT $2::bigint AS dataset OFFSET 0) d
         CROSS JOIN unnest($1::bytea[]) j (path) CROSS JOIN LATERAL (
            SELECT f.id, f.filepath, f.from_version, f.size FROM files f
            WHERE f.dataset_id = d.dataset AND substr(sha256(f.filepath), 1, 16) = substr(sha256(j.path), 1, 16)
               AND f.filepath = j.path AND f.to_version IS NULL OFFSET 0) f",
    );
    let rows = rows.bind(paths).bind(push.dataset).bind(push.version).fetch_all(&mut **tx).await?;
    rows.iter().map(pushes::before).collect()
}

/// A row of this push is replaced; one of an earlier version ends here.
async fn end_rows(tx: &mut Tx, push: &OpenRow, before: &BTreeMap<Vec<u8>, Before>) -> Result<(), Fail> {
    if before.is_empty() {
        return Ok(());
    }
    let ids = |own| before.values().filter(|row| row.own == own).map(|row| row.id).collect::<Vec<_>>();
    sqlx::query("DELETE FROM files WHERE id = ANY ($1)").bind(ids(true)).execute(&mut **tx).await?;
    sqlx::query("UPDATE files SET to_version = $2 WHERE id = ANY ($1)")
        .bind(ids(false))
        .bind(push.version)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn insert_rows(
    tx: &mut Tx,
    push: &OpenRow,
    changes: &[EntryChange],
    blobs: &BTreeMap<ContentHash, i64>,
) -> Result<(), Fail> {
    let puts: Vec<&FileEntry> = puts(changes).collect();
    if puts.is_empty() {
        return Ok(());
    }
    let many = |of: fn(&FileEntry) -> i64| puts.iter().map(|entry| of(entry)).collect::<Vec<i64>>();
    let own: Vec<_> = puts.iter().map(|entry| files::own_columns(entry, blobs)).collect();
    sqlx::query(
        "INSERT INTO files (dataset_id, from_version, changeset_id, filepath, search, kind, mode, uid, gid, mtime_secs,
            mtime_nanos, size, content_hash, blob_id, link_target, link_group)
         SELECT $1, $2, $3, j.* FROM unnest($4::bytea[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[], $14::bigint[], $15::bytea[], $16::bigint[]) j",
    )
    .bind(push.dataset)
    .bind(push.version)
    .bind(push.id)
    .bind(puts.iter().map(|entry| entry.path.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(puts.iter().map(|entry| search_text(entry.path.as_bytes())).collect::<Vec<_>>())
    .bind(own.iter().map(|own| own.kind).collect::<Vec<_>>())
    .bind(many(|entry| i64::from(entry.meta.mode)))
    .bind(many(|entry| i64::from(entry.meta.uid)))
    .bind(many(|entry| i64::from(entry.meta.gid)))
    .bind(many(|entry| entry.meta.mtime.secs))
    .bind(many(|entry| i64::from(entry.meta.mtime.nanos)))
    .bind(many(|entry| int(entry.size())))
    .bind(own.iter().map(|own| own.hash.map(|hash| hash.0.to_vec())).collect::<Vec<_>>())
    .bind(own.iter().map(|own| own.blob).collect::<Vec<_>>())
    .bind(own.iter().map(|own| own.target.map(<[u8]>::to_vec)).collect::<Vec<_>>())
    .bind(puts.iter().map(|entry| entry.link_group.map(int)).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    insert_pieces(tx, push, &puts, blobs).await
}

/// The blobs of files that have several.
async fn insert_pieces(
    tx: &mut Tx,
    push: &OpenRow,
    puts: &[&FileEntry],
    blobs: &BTreeMap<ContentHash, i64>,
) -> Result<(), Fail> {
    let (mut paths, mut seqs, mut ids, mut offsets, mut sizes) = (vec![], vec![], vec![], vec![], vec![]);
    for entry in puts.iter().filter(|entry| entry.chunks().len() > 1) {
        for (seq, chunk) in (0i64..).zip(entry.chunks()) {
            paths.push(entry.path.as_bytes().to_vec());
            seqs.push(seq);
            ids.push(blobs.get(&chunk.hash).copied());
            offsets.push(int(chunk.offset));
            sizes.push(i64::from(chunk.size));
        }
    }
    if paths.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO file_blobs (file_id, seq, blob_id, byte_offset, size)
         SELECT f.id, j.seq, j.blob, j.at, j.size
         FROM (SELECT $6::bigint AS dataset OFFSET 0) d
         CROSS JOIN unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) j (path, seq, blob, at, size)
         CROSS JOIN LATERAL (SELECT f.id FROM files f
            WHERE f.dataset_id = d.dataset AND substr(sha256(f.filepath), 1, 16) = substr(sha256(j.path), 1, 16)
               AND f.filepath = j.path AND f.from_version = $7 OFFSET 0) f",
    )
    .bind(paths)
    .bind(seqs)
    .bind(ids)
    .bind(offsets)
    .bind(sizes)
    .bind(push.dataset)
    .bind(push.version)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn count(
    tx: &mut Tx,
    push: &OpenRow,
    changes: &[EntryChange],
    before: &BTreeMap<Vec<u8>, Before>,
) -> Result<(), Fail> {
    let tally = Tally::of(changes, before);
    sqlx::query(
        "UPDATE changesets SET file_count = file_count + $2, total_size = total_size + $3, blob_count = blob_count + $4,
            added = added + $5, modified = modified + $6, removed = removed + $7, started_at = coalesce(started_at, n2s_now())
         WHERE id = $1",
    )
    .bind(push.id)
    .bind(tally.files)
    .bind(tally.bytes)
    .bind(tally.blobs)
    .bind(tally.added)
    .bind(tally.modified)
    .bind(tally.removed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
