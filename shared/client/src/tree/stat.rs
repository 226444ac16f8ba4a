//! What the file system says of a path.

use n2s_domain::{FileMeta, FileTime};

/// The kinds of entry a directory can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stored.
    File,
    /// Stored.
    Directory,
    /// Stored.
    Symlink,
    /// A FIFO, socket or device: reported, not stored. Holds the word for it.
    Special(&'static str),
}

/// What tells a file from its replacement, and an untouched file from a changed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Last change of content or metadata; unlike the mtime nobody can set it.
    pub ctime: FileTime,
}

/// An `lstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Mode, owner, mtime.
    pub meta: FileMeta,
    /// Bytes; meaningful for files.
    pub size: u64,
    /// Which file it is, in which state.
    pub identity: Identity,
    /// Names the file has.
    pub links: u64,
}

impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Special("FIFO"),
            FileType::Socket => Kind::Special("socket"),
            FileType::CharacterDevice => Kind::Special("character device"),
            FileType::BlockDevice => Kind::Special("block device"),
            FileType::Unknown => Kind::Special("file of an unknown kind"),
        };
        Self {
            kind,
            meta: FileMeta {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            identity: Identity {
                dev: stat.st_dev,
                ino: stat.st_ino,
                ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            },
            links: stat.st_nlink,
        }
    }
}

fn time(secs: i64, nanos: impl TryInto<u32>) -> FileTime {
    FileTime { secs, nanos: nanos.try_into().unwrap_or(0) }
}

impl Stat {
    /// A number that all names of this file or link share, where there are several.
    pub fn link_group(&self) -> Option<u64> {
        if self.links < 2 || !matches!(self.kind, Kind::File | Kind::Symlink) {
            return None;
        }
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.identity.dev.to_le_bytes());
        key[8..].copy_from_slice(&self.identity.ino.to_le_bytes());
        let hash = blake3::hash(&key);
        // 62 bits: databases count with signed numbers.
        Some(u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes")) >> 2)
    }
}
