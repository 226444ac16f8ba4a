//! What a tree is made of: one entry per path.

use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::path::RelPath;
use crate::time::FileTime;

/// One path of a version with everything needed to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lies below the dataset's root.
    pub path: RelPath,
    /// Mode, owner and time.
    pub meta: FileMeta,
    /// What it is.
    pub content: Content,
    /// The same number for all names of one file or symbolic link. Paths of a group whose content and metadata agree are
    /// restored as hard links.
    pub link_group: Option<u64>,
}

/// The metadata every kind of entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Permission bits, set-id and sticky bits included: `0o0000` to `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Last modification.
    pub mtime: FileTime,
}

/// The kinds of entry that are stored. Sockets, FIFOs and devices are reported, never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory; its entries are paths of their own.
    Directory,
    /// A symbolic link and the bytes it holds, kept as they are and never followed.
    Symlink {
        /// The link's target, any bytes.
        target: Vec<u8>,
    },
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// BLAKE3 of the whole file, what `b3sum` prints.
        hash: ContentHash,
        /// The blobs that make the file up, in order and without gaps. None for an empty file; one, whose hash is the
        /// file's own, up to [`crate::limits::BLOB_BYTES_MAX`].
        chunks: Vec<ChunkRef>,
    },
}

/// A piece of a file: one blob at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// The blob's plaintext.
    pub hash: ContentHash,
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length; at most [`crate::limits::BLOB_BYTES_MAX`].
    pub size: u32,
}

/// One line of a changeset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// The path is, from this version on, this.
    Put(FileEntry),
    /// The path exists no more. Removing an absent path changes nothing.
    Remove(RelPath),
}

impl EntryChange {
    /// The path this line speaks of.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::Put(entry) => &entry.path,
            Self::Remove(path) => path,
        }
    }
}

impl FileEntry {
    /// The blobs this entry needs.
    pub fn chunks(&self) -> &[ChunkRef] {
        match &self.content {
            Content::File { chunks, .. } => chunks,
            Content::Directory | Content::Symlink { .. } => &[],
        }
    }

    /// Plaintext bytes; zero for what is not a file.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::File { size, .. } => *size,
            Content::Directory | Content::Symlink { .. } => 0,
        }
    }
}
