//! Recording a batch of changes.

use std::collections::{BTreeMap, BTreeSet};

use n2s_catalog::{EntriesRecorded, PushLease};
use n2s_domain::{Content, ContentHash, EntryChange, FileEntry};
use unicode_normalization::UnicodeNormalization as _;

use super::OpenRow;
use crate::connect::{PostgresCatalog, Tx};
use crate::decode::{col, int};
use crate::error::Fail;
use crate::placing::{place, sourced};

/// The row a change finds open at its path.
#[derive(Clone, Copy)]
struct Before {
    id: i64,
    own: bool,
    size: i64,
}

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
        let contents: BTreeSet<ContentHash> = changes.iter().flat_map(chunks).collect();
        let blobs = sourced(&mut tx, push.project, &contents.into_iter().collect::<Vec<_>>()).await?;
        let before = before(&mut tx, &push, changes).await?;
        end_rows(&mut tx, &push, &before).await?;
        insert_rows(&mut tx, &push, changes, &blobs).await?;
        let ids: Vec<i64> = blobs.into_values().collect();
        let jobs = place(&mut tx, &push, &ids).await?;
        count(&mut tx, &push, changes, &before).await?;
        tx.commit().await?;
        Ok(EntriesRecorded { jobs, repeated: false })
    }
}

fn chunks(change: &EntryChange) -> impl Iterator<Item = ContentHash> {
    let chunks = match change {
        EntryChange::Put(entry) => entry.chunks(),
        EntryChange::Remove(_) => &[],
    };
    chunks.iter().map(|chunk| chunk.hash)
}

async fn before(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
) -> Result<BTreeMap<Vec<u8>, Before>, Fail> {
    let paths: Vec<_> = changes.iter().map(|change| change.path().as_bytes().to_vec()).collect();
    let rows = sqlx::query(
        "SELECT f.id, f.filepath, f.from_version = $3 AS own, f.size FROM unnest($1::bytea[]) j (path)
         JOIN files f ON f.dataset_id = $2 AND substr(sha256(f.filepath), 1, 16) = substr(sha256(j.path), 1, 16)
            AND f.filepath = j.path AND f.to_version IS NULL",
    );
    let rows = rows.bind(paths).bind(push.dataset).bind(push.version).fetch_all(&mut **tx).await?;
    let before = |row| {
        let before = Before { id: col(row, "id")?, own: col(row, "own")?, size: col(row, "size")? };
        Ok((col::<Vec<u8>>(row, "filepath")?, before))
    };
    rows.iter().map(before).collect()
}

/// A row of this push is replaced; one of an earlier version ends here.
async fn end_rows(tx: &mut Tx<'_>, push: &OpenRow, before: &BTreeMap<Vec<u8>, Before>) -> Result<(), Fail> {
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
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
    blobs: &BTreeMap<ContentHash, i64>,
) -> Result<(), Fail> {
    let puts = changes.iter().filter_map(|change| match change {
        EntryChange::Put(entry) => Some(entry),
        EntryChange::Remove(_) => None,
    });
    let puts: Vec<&FileEntry> = puts.collect();
    if puts.is_empty() {
        return Ok(());
    }
    let many = |of: fn(&FileEntry) -> i64| puts.iter().map(|entry| of(entry)).collect::<Vec<i64>>();
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
    .bind(puts.iter().map(|entry| kind(entry)).collect::<Vec<_>>())
    .bind(many(|entry| i64::from(entry.meta.mode)))
    .bind(many(|entry| i64::from(entry.meta.uid)))
    .bind(many(|entry| i64::from(entry.meta.gid)))
    .bind(many(|entry| entry.meta.mtime.secs))
    .bind(many(|entry| i64::from(entry.meta.mtime.nanos)))
    .bind(many(|entry| int(entry.size())))
    .bind(puts.iter().map(|entry| file_hash(entry)).collect::<Vec<_>>())
    .bind(puts.iter().map(|entry| only_blob(entry, blobs)).collect::<Vec<_>>())
    .bind(puts.iter().map(|entry| target(entry)).collect::<Vec<_>>())
    .bind(puts.iter().map(|entry| entry.link_group.map(int)).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    insert_pieces(tx, push, &puts, blobs).await
}

/// The blobs of files that have several.
async fn insert_pieces(
    tx: &mut Tx<'_>,
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
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) j (path, seq, blob, at, size)
         JOIN files f ON f.dataset_id = $6 AND substr(sha256(f.filepath), 1, 16) = substr(sha256(j.path), 1, 16)
            AND f.filepath = j.path AND f.from_version = $7",
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

fn kind(entry: &FileEntry) -> &'static str {
    match entry.content {
        Content::Directory => "d",
        Content::Symlink { .. } => "l",
        Content::File { .. } => "f",
    }
}

fn file_hash(entry: &FileEntry) -> Option<Vec<u8>> {
    match &entry.content {
        Content::File { hash, .. } => Some(hash.0.to_vec()),
        _ => None,
    }
}

fn only_blob(entry: &FileEntry, blobs: &BTreeMap<ContentHash, i64>) -> Option<i64> {
    match entry.chunks() {
        [chunk] => blobs.get(&chunk.hash).copied(),
        _ => None,
    }
}

fn target(entry: &FileEntry) -> Option<Vec<u8>> {
    match &entry.content {
        Content::Symlink { target } => Some(target.clone()),
        _ => None,
    }
}

/// The text that searches look in, where it differs from the path: one Unicode form, one case.
fn search_text(path: &[u8]) -> Option<String> {
    let text = fold(&String::from_utf8_lossy(path));
    (text.as_bytes() != path).then_some(text)
}

/// One Unicode form, one case.
pub(crate) fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

async fn count(
    tx: &mut Tx<'_>,
    push: &OpenRow,
    changes: &[EntryChange],
    before: &BTreeMap<Vec<u8>, Before>,
) -> Result<(), Fail> {
    let (mut files, mut bytes, mut blobs, mut added, mut modified, mut removed) =
        (0i64, 0i64, 0i64, 0i64, 0i64, 0i64);
    for change in changes {
        let old = before.get(change.path().as_bytes());
        bytes -= old.map_or(0, |old| old.size);
        match (change, old) {
            (EntryChange::Put(entry), old) => {
                bytes += int(entry.size());
                blobs += i64::try_from(entry.chunks().len()).unwrap_or(i64::MAX);
                *(if old.is_some() { &mut modified } else { &mut added }) += 1;
                files += i64::from(old.is_none());
            }
            (EntryChange::Remove(_), Some(_)) => {
                removed += 1;
                files -= 1;
            }
            (EntryChange::Remove(_), None) => {}
        }
    }
    sqlx::query(
        "UPDATE changesets SET file_count = file_count + $2, total_size = total_size + $3, blob_count = blob_count + $4,
            added = added + $5, modified = modified + $6, removed = removed + $7, started_at = coalesce(started_at, n2s_now())
         WHERE id = $1",
    )
    .bind(push.id)
    .bind(files)
    .bind(bytes)
    .bind(blobs)
    .bind(added)
    .bind(modified)
    .bind(removed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
