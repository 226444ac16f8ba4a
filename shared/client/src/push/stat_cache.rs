//! What the last push of this root saw, so that the next one need not read what has not changed.
//!
//! One file per dataset and root, in path order like everything else, so that it is read and written as a stream. Its header
//! names the changeset it describes; it counts only while that changeset is the dataset's head, and only then does it also
//! stand in for the catalog's rows. Content is known to be unchanged when size, mtime, ctime, device and inode are: nobody
//! can set a ctime. An entry whose ctime is so recent that a later write could carry the same one is marked untrusted.
//! Losing the file costs time, never data: it is rewritten after each push and replaced by rename.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use n2s_domain::{ChangesetId, ChunkRef, Content, ContentHash, FileEntry, FileMeta, FileTime, RelPath};
use uuid::Uuid;

use crate::tree::Identity;

const MAGIC: &[u8; 8] = b"n2sstat2";

/// A path as the last push left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) entry: FileEntry,
    /// `None` when the content must be read again whatever the times say.
    pub(super) trusted: Option<Identity>,
}

/// Which state of which catalog a cache describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheKey {
    pub(super) catalog: Uuid,
    pub(super) changeset: ChangesetId,
}

/// Reads a cache in path order.
pub(super) struct CacheReader(BufReader<File>);

impl CacheReader {
    /// Opens the cache at `path` if it describes exactly `key`; anything else is as good as none.
    pub(super) fn open(path: &Path, key: &CacheKey) -> Option<Self> {
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(path).ok()?);
        let mut header = [0; 40];
        reader.read_exact(&mut header).ok()?;
        (header == header_of(key)).then_some(Self(reader))
    }

    /// The next path; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Seen>> {
        let length = match u32_of(&mut self.0)? {
            0 => return Ok(None),
            length if length > 1 << 28 => return Err(io::ErrorKind::InvalidData.into()),
            length => length,
        };
        let mut record = vec![0; length as usize];
        self.0.read_exact(&mut record)?;
        decode(&mut record.as_slice()).map(Some)
    }
}

/// Writes the next cache beside the present one.
pub(super) struct CacheWriter {
    file: BufWriter<File>,
    temp: PathBuf,
    path: PathBuf,
}

impl CacheWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let temp = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = BufWriter::with_capacity(256 * 1024, File::create(&temp)?);
        file.write_all(&[0; 40])?;
        Ok(Self { file, temp, path: path.to_owned() })
    }

    pub(super) fn push(&mut self, seen: &Seen) -> io::Result<()> {
        let record = encode(seen);
        self.file.write_all(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.file.write_all(&record)
    }

    /// Makes it the cache of `key`. Not synced: a cache torn by a power cut fails to decode and is passed over.
    pub(super) fn finish(mut self, key: &CacheKey) -> io::Result<()> {
        use std::io::Seek as _;
        self.file.write_all(&0u32.to_le_bytes())?;
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.rewind()?;
        file.write_all(&header_of(key))?;
        std::fs::rename(&self.temp, &self.path)
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        // Already renamed when finished; a leftover costs only space.
        let _ = std::fs::remove_file(&self.temp);
    }
}

fn header_of(key: &CacheKey) -> [u8; 40] {
    let mut header = [0; 40];
    header[..8].copy_from_slice(MAGIC);
    header[8..24].copy_from_slice(key.catalog.as_bytes());
    header[24..].copy_from_slice(key.changeset.0.as_bytes());
    header
}

fn encode(seen: &Seen) -> Vec<u8> {
    let FileEntry { path, meta, content, link_group } = &seen.entry;
    let mut out = Vec::with_capacity(path.as_bytes().len() + 128);
    bytes_into(&mut out, path.as_bytes());
    out.extend_from_slice(&meta.mode.to_le_bytes());
    out.extend_from_slice(&meta.uid.to_le_bytes());
    out.extend_from_slice(&meta.gid.to_le_bytes());
    time_into(&mut out, meta.mtime);
    out.extend_from_slice(&link_group.map_or(0, |group| group + 1).to_le_bytes());
    match seen.trusted {
        None => out.push(0),
        Some(identity) => {
            out.push(1);
            out.extend_from_slice(&identity.dev.to_le_bytes());
            out.extend_from_slice(&identity.ino.to_le_bytes());
            time_into(&mut out, identity.ctime);
        }
    }
    match content {
        Content::Directory => out.push(b'd'),
        Content::Symlink { target } => {
            out.push(b'l');
            bytes_into(&mut out, target);
        }
        Content::File { size, hash, chunks } => {
            out.push(b'f');
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(hash.as_bytes());
            out.extend_from_slice(&u32::try_from(chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
            for chunk in chunks {
                out.extend_from_slice(chunk.hash.as_bytes());
                out.extend_from_slice(&chunk.offset.to_le_bytes());
                out.extend_from_slice(&chunk.size.to_le_bytes());
            }
        }
    }
    out
}

fn decode(from: &mut &[u8]) -> io::Result<Seen> {
    let path = RelPath::new(bytes_of(from)?).map_err(|_| invalid())?;
    let (mode, uid, gid) = (u32_of(from)?, u32_of(from)?, u32_of(from)?);
    let meta = FileMeta { mode, uid, gid, mtime: time_of(from)? };
    let link_group = u64_of(from)?.checked_sub(1);
    let trusted = match array::<1>(from)? {
        [0] => None,
        _ => Some(Identity { dev: u64_of(from)?, ino: u64_of(from)?, ctime: time_of(from)? }),
    };
    let content = match array::<1>(from)? {
        [b'd'] => Content::Directory,
        [b'l'] => Content::Symlink { target: bytes_of(from)? },
        [b'f'] => {
            let (size, hash) = (u64_of(from)?, ContentHash(array(from)?));
            let chunks = (0..u32_of(from)?).map(|_| chunk_of(from)).collect::<io::Result<_>>()?;
            Content::File { size, hash, chunks }
        }
        _ => return Err(invalid()),
    };
    Ok(Seen { entry: FileEntry { path, meta, content, link_group }, trusted })
}

fn chunk_of(from: &mut &[u8]) -> io::Result<ChunkRef> {
    Ok(ChunkRef { hash: ContentHash(array(from)?), offset: u64_of(from)?, size: u32_of(from)? })
}

fn bytes_into(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn time_into(out: &mut Vec<u8>, time: FileTime) {
    out.extend_from_slice(&time.secs.to_le_bytes());
    out.extend_from_slice(&time.nanos.to_le_bytes());
}

fn bytes_of(from: &mut &[u8]) -> io::Result<Vec<u8>> {
    let length = u32_of(from)? as usize;
    let (bytes, rest) = from.split_at_checked(length).ok_or_else(invalid)?;
    *from = rest;
    Ok(bytes.to_vec())
}

fn time_of(from: &mut &[u8]) -> io::Result<FileTime> {
    Ok(FileTime { secs: i64::from_le_bytes(array(from)?), nanos: u32_of(from)? })
}

fn u32_of(from: &mut impl Read) -> io::Result<u32> {
    array(from).map(u32::from_le_bytes)
}

fn u64_of(from: &mut impl Read) -> io::Result<u64> {
    array(from).map(u64::from_le_bytes)
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &[u8], content: Content) -> Seen {
        let meta =
            FileMeta { mode: 0o4755, uid: 1, gid: 2, mtime: FileTime { secs: -5, nanos: 999_999_999 } };
        let ctime = FileTime { secs: 9, nanos: 1 };
        Seen {
            entry: FileEntry { path: RelPath::new(path).unwrap(), meta, content, link_group: None },
            trusted: Some(Identity { dev: 3, ino: u64::MAX, ctime }),
        }
    }

    fn linked(mut seen: Seen) -> Seen {
        seen.entry.link_group = Some(0);
        seen
    }

    #[test]
    fn keeps_every_kind_of_entry_and_belongs_to_one_changeset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let key = CacheKey { catalog: Uuid::from_u128(1), changeset: ChangesetId(Uuid::from_u128(2)) };
        let chunk = ChunkRef { hash: ContentHash([7; 32]), offset: 1 << 40, size: 5 };
        let hash = ContentHash([1; 32]);
        let all = [
            seen(b"", Content::Directory),
            seen(b"a\xff", Content::Symlink { target: b"../\xfe".to_vec() }),
            linked(seen(b"b", Content::File { size: 5, hash, chunks: vec![chunk; 3] })),
            Seen { trusted: None, ..seen(b"c", Content::File { size: 0, hash, chunks: vec![] }) },
        ];
        let mut writer = CacheWriter::create(&path).unwrap();
        for seen in &all {
            writer.push(seen).unwrap();
        }
        writer.finish(&key).unwrap();
        let mut reader = CacheReader::open(&path, &key).unwrap();
        for expected in &all {
            assert_eq!(reader.next().unwrap().as_ref(), Some(expected));
        }
        assert!(reader.next().unwrap().is_none());
        let other = CacheKey { changeset: ChangesetId(Uuid::from_u128(3)), ..key };
        assert!(CacheReader::open(&path, &other).is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
