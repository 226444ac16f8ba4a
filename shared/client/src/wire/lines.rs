//! One JSON document per line.

use bytes::Bytes;
use n2s_domain::{EntryChange, FileEntry};
use n2s_envelope::manifest::ListLine;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::seam::{FileBlob, FileRow};

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} cannot be read: {why}")]
pub struct InvalidLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// A path with the blobs to fetch for it.
#[derive(Debug, Serialize, Deserialize)]
struct TreeLine {
    #[serde(flatten)]
    line: ListLine,
    blobs: Vec<FileBlob>,
}

/// Lines of records.
pub fn write<T: Serialize>(records: impl IntoIterator<Item = T>) -> Bytes {
    let mut body = Vec::new();
    for record in records {
        serde_json::to_writer(&mut body, &record).expect("records serialise into memory");
        body.push(b'\n');
    }
    body.into()
}

/// Records of lines; at most `most`.
pub fn read<T: DeserializeOwned>(body: &[u8], most: usize) -> Result<Vec<T>, InvalidLine> {
    let lines = body.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let mut records = Vec::new();
    for (index, line) in lines {
        let bad = |why: String| InvalidLine { line: index + 1, why };
        if records.len() == most {
            return Err(bad(format!("there may be at most {most}")));
        }
        records.push(serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?);
    }
    Ok(records)
}

/// Changes, in the lines of a manifest's list.
pub fn write_changes(changes: &[EntryChange]) -> Bytes {
    write(changes.iter().map(ListLine::from))
}

/// The changes of such lines. A line that contradicts itself is refused, as are paths that could leave their root.
pub fn read_changes(body: &[u8], most: usize) -> Result<Vec<EntryChange>, InvalidLine> {
    let lines: Vec<ListLine> = read(body, most)?;
    let change = |(index, line): (usize, ListLine)| {
        let why = || "its size, hash and chunks contradict each other".to_owned();
        line.into_change().ok_or_else(|| InvalidLine { line: index + 1, why: why() })
    };
    lines.into_iter().enumerate().map(change).collect()
}

/// Entries, in the same lines.
pub fn write_entries(entries: &[FileEntry]) -> Bytes {
    write(entries.iter().map(|entry| ListLine::from(&EntryChange::Put(entry.clone()))))
}

/// The entries of such lines.
pub fn read_entries(body: &[u8], most: usize) -> Result<Vec<FileEntry>, InvalidLine> {
    let put = |(index, change)| match change {
        EntryChange::Put(entry) => Ok(entry),
        EntryChange::Remove(_) => Err(InvalidLine { line: index + 1, why: "it removes".to_owned() }),
    };
    read_changes(body, most)?.into_iter().enumerate().map(put).collect()
}

/// Entries with their blobs.
pub fn write_tree(rows: Vec<FileRow>) -> Bytes {
    write(
        rows.into_iter()
            .map(|row| TreeLine { line: ListLine::from(&EntryChange::Put(row.entry)), blobs: row.blobs }),
    )
}

/// The rows of such lines. Blobs that are not those of the entry's chunks are refused.
pub fn read_tree(body: &[u8], most: usize) -> Result<Vec<FileRow>, InvalidLine> {
    let lines: Vec<TreeLine> = read(body, most)?;
    let row = |(index, line): (usize, TreeLine)| {
        let Some(EntryChange::Put(entry)) = line.line.into_change() else { return Err(index) };
        let own = entry.chunks().iter().map(|chunk| chunk.hash).eq(line.blobs.iter().map(|b| b.content_hash));
        if own { Ok(FileRow { entry, blobs: line.blobs }) } else { Err(index) }
    };
    let bad =
        |index| InvalidLine { line: index + 1, why: "entry and blobs contradict each other".to_owned() };
    lines.into_iter().enumerate().map(|line| row(line).map_err(bad)).collect()
}
