//! File rows to entries, and entries to file rows.
//!
//! A file of one blob names it in its own row. The blobs of the others stand in rows of their own, which are fetched together.

use std::collections::BTreeMap;

use n2s_domain::{ChunkRef, Content, ContentHash, EntryChange, FileEntry, FileMeta, FileTime};

use super::Columns;
use crate::FileRow;
use crate::library::FileBlob;

/// Chunks of files that have several, by the file's row.
pub type Pieces = BTreeMap<i64, Vec<ChunkRef>>;

/// The rows of files whose chunks stand elsewhere.
pub fn several<E, R: Columns<E>>(rows: &[&R]) -> Result<Vec<i64>, E> {
    let mut several = Vec::new();
    for row in rows {
        if row.int_opt("blob_id")?.is_none() && row.int("size")? > 0 {
            several.push(row.int("id")?);
        }
    }
    Ok(several)
}

/// Their chunks: `file_id, byte_offset, size, content_hash`, in order.
pub fn pieces<E, R: Columns<E>>(rows: &[R]) -> Result<Pieces, E> {
    let mut pieces = Pieces::new();
    for row in rows {
        let (hash, offset, size) =
            (row.content("content_hash")?, row.count("byte_offset")?, row.small("size")?);
        pieces.entry(row.int("file_id")?).or_default().push(ChunkRef { hash, offset, size });
    }
    Ok(pieces)
}

/// A file row; takes its chunks out of `pieces`.
pub fn entry<E, R: Columns<E>>(row: &R, pieces: &mut Pieces) -> Result<FileEntry, E> {
    let mtime = FileTime { secs: row.int("mtime_secs")?, nanos: row.small("mtime_nanos")? };
    let meta = FileMeta { mode: row.small("mode")?, uid: row.small("uid")?, gid: row.small("gid")?, mtime };
    let content = match row.text("kind")? {
        "d" => Content::Directory,
        "l" => Content::Symlink { target: row.bytes("link_target")?.to_vec() },
        _ => {
            let (size, hash) = (row.count("size")?, row.content("content_hash")?);
            let chunks = if row.int_opt("blob_id")?.is_some() {
                vec![ChunkRef { hash, offset: 0, size: u32::try_from(size).unwrap_or(u32::MAX) }]
            } else {
                pieces.remove(&row.int("id")?).unwrap_or_default()
            };
            Content::File { size, hash, chunks }
        }
    };
    let link_group = row.int_opt("link_group")?.and_then(|group| u64::try_from(group).ok());
    Ok(FileEntry { path: row.path("filepath")?, meta, content, link_group })
}

/// Entries with their rows' changesets and their chunks' blobs.
pub fn tree<E, R: Columns<E>>(
    entries: Vec<FileEntry>,
    rows: &[R],
    blobs: &BTreeMap<ContentHash, FileBlob>,
) -> Result<Vec<FileRow>, E> {
    let row = |(entry, row): (FileEntry, &R)| {
        let blobs = entry.chunks().iter().filter_map(|chunk| blobs.get(&chunk.hash).cloned()).collect();
        Ok(FileRow { entry, changeset: row.changeset("uuid")?, blobs })
    };
    entries.into_iter().zip(rows).map(row).collect()
}

/// Whether a row of changes, a `path` and its file row if it has one now, has one.
pub fn is_live<E, R: Columns<E>>(row: &R) -> bool {
    row.int_opt("id").is_ok_and(|id| id.is_some())
}

/// Such rows to changes, with the entries of those that are live, in order.
pub fn changes<E, R: Columns<E>>(rows: &[R], entries: Vec<FileEntry>) -> Result<Vec<EntryChange>, E> {
    let mut entries = entries.into_iter();
    let change = |row: &R| match is_live(row).then(|| entries.next()).flatten() {
        Some(entry) => Ok(EntryChange::Put(entry)),
        None => Ok(EntryChange::Remove(row.path("path")?)),
    };
    rows.iter().map(change).collect()
}

/// What of an entry's content stands in its own row.
pub struct OwnColumns<'e> {
    /// `d`, `l` or `f`.
    pub kind: &'static str,
    /// A file's content.
    pub hash: Option<ContentHash>,
    /// The blob of a file that has one.
    pub blob: Option<i64>,
    /// A link's target.
    pub target: Option<&'e [u8]>,
}

/// See [`OwnColumns`].
pub fn own_columns<'e>(entry: &'e FileEntry, blobs: &BTreeMap<ContentHash, i64>) -> OwnColumns<'e> {
    let (kind, hash, target) = match &entry.content {
        Content::Directory => ("d", None, None),
        Content::Symlink { target } => ("l", None, Some(target.as_slice())),
        Content::File { hash, .. } => ("f", Some(*hash), None),
    };
    let blob = match entry.chunks() {
        [chunk] => blobs.get(&chunk.hash).copied(),
        _ => None,
    };
    OwnColumns { kind, hash, blob, target }
}

/// `id, blob_id` of files: the blobs of those that have one, the rows of the others, and the last row, or `from`.
pub fn by_blobs<E, R: Columns<E>>(rows: &[R], from: i64) -> Result<(Vec<i64>, Vec<i64>, i64), E> {
    let (mut blobs, mut several, mut last) = (Vec::new(), Vec::new(), from);
    for row in rows {
        last = row.int("id")?;
        match row.int_opt("blob_id")? {
            Some(blob) => blobs.push(blob),
            None => several.push(last),
        }
    }
    Ok((blobs, several, last))
}
