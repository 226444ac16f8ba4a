//! Recording a batch of changes.

use std::collections::BTreeMap;

use n2s_catalog::decisions::entering::{Tally, contents, puts, search_text};
use n2s_catalog::rows::pushes::{self, Before, OpenRow};
use n2s_catalog::rows::{files, int};
use n2s_catalog::{EntriesRecorded, PushLease};
use n2s_domain::{ContentHash, EntryChange, FileEntry};
use n2s_failpoints::Point;
use serde_json::{Value, json};

use crate::connect::{SqliteCatalog, Tx, begin, commit};
use crate::decode::{self, hex};
use crate::error::Fail;
use crate::placing::{place, sourced};

impl SqliteCatalog {
    pub(super) async fn enter(
        &self,
        lease: &PushLease,
        batch: u64,
        changes: &[EntryChange],
    ) -> Result<EntriesRecorded, Fail> {
        let now = self.now();
        let mut writer = self.writer().await;
        let mut tx = begin(&mut writer).await?;
        let push = self.hold(&mut tx, lease).await?;
        let first = sqlx::query(
            "INSERT INTO push_batches (changeset_id, batch) VALUES (?, ?) ON CONFLICT DO NOTHING",
        );
        let first = first.bind(push.id).bind(int(batch)).execute(&mut *tx).await?.rows_affected() == 1;
        if !first {
            return Ok(EntriesRecorded { jobs: 0, repeated: true });
        }
        let blobs = sourced(&mut tx, push.project, &contents(changes)).await?;
        let before = before(&mut tx, &push, changes).await?;
        end_rows(&mut tx, &push, &before).await?;
        insert_rows(&mut tx, &push, changes, &blobs, now).await?;
        let ids: Vec<i64> = blobs.into_values().collect();
        let jobs = place(&mut tx, &push, &ids, now).await?;
        count(&mut tx, &push, changes, &before, now).await?;
        commit(tx, Point::EntriesRecorded).await?;
        Ok(EntriesRecorded { jobs, repeated: false })
    }
}

async fn before(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
) -> Result<BTreeMap<Vec<u8>, Before>, Fail> {
    let paths: Vec<_> = changes.iter().map(|change| hex(change.path().as_bytes())).collect();
    let rows = sqlx::query(
        "SELECT f.id, f.filepath, f.from_version = ?3 AS own, f.size FROM json_each(?1) j
         CROSS JOIN files f ON f.dataset_id = ?2 AND f.filepath = unhex(j.value) AND f.to_version IS NULL",
    );
    let rows =
        rows.bind(decode::json(&paths)).bind(push.dataset).bind(push.version).fetch_all(&mut **tx).await?;
    rows.iter().map(pushes::before).collect()
}

/// A row of this push is replaced; one of an earlier version ends here.
async fn end_rows(tx: &mut Tx<'_>, push: &OpenRow, before: &BTreeMap<Vec<u8>, Before>) -> Result<(), Fail> {
    let ids = |own| before.values().filter(|row| row.own == own).map(|row| row.id).collect::<Vec<_>>();
    sqlx::query("DELETE FROM files WHERE id IN (SELECT value FROM json_each(?))")
        .bind(decode::json(&ids(true)))
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE files SET to_version = ?2 WHERE id IN (SELECT value FROM json_each(?1))")
        .bind(decode::json(&ids(false)))
        .bind(push.version)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn insert_rows(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
    blobs: &BTreeMap<ContentHash, i64>,
    now: i64,
) -> Result<(), Fail> {
    let puts: Vec<&FileEntry> = puts(changes).collect();
    if puts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO files (dataset_id, from_version, changeset_id, created_at, filepath, search, kind, mode, uid, gid, mtime_secs,
            mtime_nanos, size, content_hash, blob_id, link_target, link_group)
         SELECT ?2, ?3, ?4, ?5, unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
            value ->> 7, value ->> 8, unhex(value ->> 9), value ->> 10, unhex(value ->> 11), value ->> 12
         FROM json_each(?1)",
    )
    .bind(decode::json(&puts.iter().map(|entry| row(entry, blobs)).collect::<Vec<_>>()))
    .bind(push.dataset)
    .bind(push.version)
    .bind(push.id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    let pieces = puts.iter().filter(|entry| entry.chunks().len() > 1).flat_map(|entry| pieces(entry, blobs));
    let pieces: Vec<_> = pieces.collect();
    if !pieces.is_empty() {
        sqlx::query(
            "INSERT INTO file_blobs (file_id, seq, blob_id, byte_offset, size)
             SELECT f.id, value ->> 1, value ->> 2, value ->> 3, value ->> 4
             FROM json_each(?1) j CROSS JOIN files f ON f.dataset_id = ?2 AND f.filepath = unhex(value ->> 0) AND f.from_version = ?3",
        )
        .bind(decode::json(&pieces))
        .bind(push.dataset)
        .bind(push.version)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn row(entry: &FileEntry, blobs: &BTreeMap<ContentHash, i64>) -> Value {
    let path = entry.path.as_bytes();
    let meta = entry.meta;
    let own = files::own_columns(entry, blobs);
    json!([
        hex(path),
        search_text(path),
        own.kind,
        meta.mode,
        meta.uid,
        meta.gid,
        meta.mtime.secs,
        meta.mtime.nanos,
        int(entry.size()),
        own.hash.map(|hash| hex(&hash.0)),
        own.blob,
        own.target.map(hex),
        entry.link_group.map(int),
    ])
}

fn pieces(entry: &FileEntry, blobs: &BTreeMap<ContentHash, i64>) -> Vec<Value> {
    let path = hex(entry.path.as_bytes());
    let piece = |(seq, chunk): (usize, &n2s_domain::ChunkRef)| {
        json!([path, seq, blobs.get(&chunk.hash), int(chunk.offset), chunk.size])
    };
    entry.chunks().iter().enumerate().map(piece).collect()
}

async fn count(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
    before: &BTreeMap<Vec<u8>, Before>,
    now: i64,
) -> Result<(), Fail> {
    let tally = Tally::of(changes, before);
    sqlx::query(
        "UPDATE changesets SET file_count = file_count + ?2, total_size = total_size + ?3, blob_count = blob_count + ?4,
            added = added + ?5, modified = modified + ?6, removed = removed + ?7, started_at = coalesce(started_at, ?8)
         WHERE id = ?1",
    )
    .bind(push.id)
    .bind(tally.files)
    .bind(tally.bytes)
    .bind(tally.blobs)
    .bind(tally.added)
    .bind(tally.modified)
    .bind(tally.removed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
