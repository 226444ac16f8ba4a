//! The lines of segments. Names that are not UTF-8 are in the escape of `n2s_domain::path`.

use n2s_domain::limits::BLOB_BYTES_MAX;
use n2s_domain::path::{escape, unescape};
use n2s_domain::{
    ChunkRef, Content, ContentHash, EntryChange, Epoch, FileEntry, FileMeta, FileTime, RelPath, SealedHash,
};

use crate::hash::content_hash;
use serde::{Deserialize, Serialize};

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLine {
    path: RelPath,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<u64>,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum What {
    #[serde(rename = "d")]
    Directory,
    #[serde(rename = "l")]
    Symlink { target: String },
    #[serde(rename = "f")]
    File {
        size: u64,
        hash: ContentHash,
        /// Absent for a file of one blob, whose hash is the file's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        chunks: Vec<(ContentHash, u64, u32)>,
    },
}

impl From<&EntryChange> for ListLine {
    fn from(change: &EntryChange) -> Self {
        let path = change.path().clone();
        match change {
            EntryChange::Remove(_) => Self { path, removed: true, entry: None },
            EntryChange::Put(entry) => Self { path, removed: false, entry: Some(Entry::from(entry)) },
        }
    }
}

impl From<&FileEntry> for Entry {
    fn from(entry: &FileEntry) -> Self {
        let what = match &entry.content {
            Content::Directory => What::Directory,
            Content::Symlink { target } => What::Symlink { target: escape(target) },
            Content::File { size, hash, chunks } => {
                let one = matches!(chunks.as_slice(), [chunk] if chunk.hash == *hash);
                let kept = if one { &[][..] } else { chunks };
                let chunks = kept.iter().map(|chunk| (chunk.hash, chunk.offset, chunk.size)).collect();
                What::File { size: *size, hash: *hash, chunks }
            }
        };
        let FileMeta { mode, uid, gid, mtime } = entry.meta;
        Self { mode, uid, gid, mtime: (mtime.secs, mtime.nanos), group: entry.link_group, what }
    }
}

impl ListLine {
    /// The path.
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    /// The change it stands for; `None` when the line contradicts itself.
    pub fn into_change(self) -> Option<EntryChange> {
        let Some(entry) = self.entry else { return self.removed.then_some(EntryChange::Remove(self.path)) };
        let content = match entry.what {
            What::Directory => Content::Directory,
            What::Symlink { target } => Content::Symlink { target: unescape(&target)? },
            What::File { size, hash, chunks } => {
                Content::File { size, hash, chunks: chunks_of(size, hash, &chunks)? }
            }
        };
        let mtime = FileTime { secs: entry.mtime.0, nanos: entry.mtime.1 };
        let meta = FileMeta { mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid, mtime };
        (!self.removed && mtime.nanos < 1_000_000_000).then_some(EntryChange::Put(FileEntry {
            path: self.path,
            meta,
            content,
            link_group: entry.group,
        }))
    }
}

/// The chunks in full; `None` unless they cover the file exactly.
fn chunks_of(size: u64, hash: ContentHash, chunks: &[(ContentHash, u64, u32)]) -> Option<Vec<ChunkRef>> {
    if size == 0 {
        return (chunks.is_empty() && hash == content_hash(b"")).then(Vec::new);
    }
    if chunks.is_empty() && size > BLOB_BYTES_MAX as u64 {
        return None;
    }
    if chunks.is_empty() {
        return Some(vec![ChunkRef { hash, offset: 0, size: u32::try_from(size).ok()? }]);
    }
    let mut end = 0;
    for (_, offset, length) in chunks {
        if *offset != end || *length == 0 || *length as usize > BLOB_BYTES_MAX {
            return None;
        }
        end += u64::from(*length);
    }
    (end == size)
        .then(|| chunks.iter().map(|&(hash, offset, size)| ChunkRef { hash, offset, size }).collect())
}

/// A line of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapLine {
    /// The content.
    pub content_hash: ContentHash,
    /// Its name on the store.
    pub sealed_hash: SealedHash,
    /// The epoch that sealed it.
    pub epoch: Epoch,
    /// Sealed bytes.
    pub encrypted_size: u64,
}
