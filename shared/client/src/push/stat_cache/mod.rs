//! What the last push of this root saw, so that the next one need not read what has not changed.
//!
//! One file per dataset and root, in path order like everything else, so that it is read and written as a stream; an index of
//! every few thousandth path at its end finds a directory without reading what comes before. Its header names the changeset it
//! describes. Content is known to be unchanged when size, mtime, ctime, device and inode are: nobody can set a ctime. An entry
//! whose ctime is so recent that a later write could carry the same one is marked untrusted.
//!
//! Losing the file costs time, never data: it is rewritten after each push of a whole tree and replaced by rename.

mod record;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use n2s_domain::{ChangesetId, FileEntry, Version};
use n2s_failpoints::{Point, failpoint};
use uuid::Uuid;

use crate::tree::Identity;
use record::{array, bytes_into, bytes_of, decode, encode, invalid, u32_of, u64_of};

const MAGIC: &[u8; 8] = b"n2sstat3";
const HEADER_BYTES: usize = 8 + 16 + 16 + 8 + 8;
/// Paths from one indexed path to the next.
const INDEX_EVERY: u64 = 4_096;
const RECORD_BYTES_MAX: u32 = 1 << 28;

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
    pub(super) version: Version,
}

/// Reads a cache in path order.
#[derive(Debug)]
pub(super) struct CacheReader {
    file: BufReader<File>,
    key: CacheKey,
    index_at: u64,
    /// Read when it is first needed.
    index: Option<Vec<(Vec<u8>, u64)>>,
    next: Option<Seen>,
    ended: bool,
}

impl CacheReader {
    /// Opens the cache at `path`; one that is not there or cannot be read is as good as none.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let mut file = BufReader::with_capacity(256 * 1024, File::open(path).ok()?);
        if array(&mut file).ok()? != *MAGIC {
            return None;
        }
        let key = CacheKey {
            catalog: Uuid::from_bytes(array(&mut file).ok()?),
            changeset: ChangesetId(Uuid::from_bytes(array(&mut file).ok()?)),
            version: Version(u64_of(&mut file).ok()?),
        };
        let index_at = u64_of(&mut file).ok()?;
        Some(Self { file, key, index_at, index: None, next: None, ended: false })
    }

    /// What it describes.
    pub(super) fn key(&self) -> CacheKey {
        self.key
    }

    /// The next path; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Seen>> {
        if let Some(seen) = self.next.take() {
            return Ok(Some(seen));
        }
        if self.ended {
            return Ok(None);
        }
        let record = read_record(&mut self.file)?;
        self.ended = record.is_none();
        record.map(|record| decode(&mut record.as_slice())).transpose()
    }

    /// Goes to the first path that is not before `from`.
    pub(super) fn seek(&mut self, from: &[u8]) -> io::Result<()> {
        if self.index.is_none() {
            self.index = Some(self.read_index()?);
        }
        let index = self.index.as_ref().expect("it was just read");
        let after = index.partition_point(|(path, _)| path.as_slice() <= from);
        let at = after.checked_sub(1).map_or(HEADER_BYTES as u64, |before| index[before].1);
        (self.next, self.ended) = (None, false);
        self.file.seek(SeekFrom::Start(at))?;
        while let Some(seen) = self.next()? {
            if seen.entry.path.as_bytes() >= from {
                self.next = Some(seen);
                break;
            }
        }
        Ok(())
    }

    fn read_index(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>> {
        self.file.seek(SeekFrom::Start(self.index_at))?;
        let mut index = Vec::new();
        while let Some(record) = read_record(&mut self.file)? {
            let mut from = record.as_slice();
            index.push((bytes_of(&mut from)?, u64_of(&mut from)?));
        }
        Ok(index)
    }
}

fn read_record(file: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let length = match u32_of(file)? {
        0 => return Ok(None),
        length if length > RECORD_BYTES_MAX => return Err(invalid()),
        length => length,
    };
    let mut record = vec![0; length as usize];
    file.read_exact(&mut record)?;
    Ok(Some(record))
}

/// Writes the next cache beside the present one.
pub(super) struct CacheWriter {
    file: BufWriter<File>,
    temp: PathBuf,
    path: PathBuf,
    written: u64,
    paths: u64,
    index: Vec<(Vec<u8>, u64)>,
}

impl CacheWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        // Who pushes the dataset holds its lease: a file of that name is the rest of a push that was killed. A new file, because
        // its writer may still be alive, and hold the old one open.
        let temp = path.with_extension("new");
        let _ = std::fs::remove_file(&temp);
        let mut file = BufWriter::with_capacity(256 * 1024, File::create_new(&temp)?);
        file.write_all(&[0; HEADER_BYTES])?;
        let (path, written) = (path.to_owned(), HEADER_BYTES as u64);
        Ok(Self { file, temp, path, written, paths: 0, index: Vec::new() })
    }

    pub(super) fn push(&mut self, seen: &Seen) -> io::Result<()> {
        if self.paths.is_multiple_of(INDEX_EVERY) {
            self.index.push((seen.entry.path.as_bytes().to_vec(), self.written));
        }
        self.paths += 1;
        self.record(&encode(seen))
    }

    fn record(&mut self, record: &[u8]) -> io::Result<()> {
        self.written += 4 + record.len() as u64;
        self.file.write_all(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.file.write_all(record)
    }

    /// Makes it the cache of `key`. Synced first, so that a power cut leaves this one or the one before.
    pub(super) fn finish(mut self, key: &CacheKey) -> io::Result<()> {
        self.record(&[])?;
        let index_at = self.written;
        for (path, at) in std::mem::take(&mut self.index) {
            let mut record = Vec::with_capacity(path.len() + 12);
            bytes_into(&mut record, &path);
            record.extend_from_slice(&at.to_le_bytes());
            self.record(&record)?;
        }
        self.record(&[])?;
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.rewind()?;
        file.write_all(&header_of(key, index_at))?;
        file.sync_data()?;
        failpoint(Point::CacheWritten);
        std::fs::rename(&self.temp, &self.path)
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        // Already renamed when finished; a leftover costs only space.
        let _ = std::fs::remove_file(&self.temp);
    }
}

fn header_of(key: &CacheKey, index_at: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..24].copy_from_slice(key.catalog.as_bytes());
    header[24..40].copy_from_slice(key.changeset.0.as_bytes());
    header[40..48].copy_from_slice(&key.version.0.to_le_bytes());
    header[48..].copy_from_slice(&index_at.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use n2s_domain::{ChunkRef, Content, ContentHash, FileMeta, FileTime, RelPath};

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
        let key = CacheKey {
            catalog: Uuid::from_u128(1),
            changeset: ChangesetId(Uuid::from_u128(2)),
            version: Version(7),
        };
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
        let mut reader = CacheReader::open(&path).unwrap();
        assert_eq!(reader.key(), key);
        for expected in &all {
            assert_eq!(reader.next().unwrap().as_ref(), Some(expected));
        }
        assert!(reader.next().unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn finds_a_path_through_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut writer = CacheWriter::create(&path).unwrap();
        let name = |n: u64| format!("{n:06}").into_bytes();
        for n in 0..3 * INDEX_EVERY {
            writer.push(&seen(&name(2 * n), Content::Directory)).unwrap();
        }
        let changeset = ChangesetId(Uuid::from_u128(2));
        writer.finish(&CacheKey { catalog: Uuid::from_u128(1), changeset, version: Version(1) }).unwrap();
        let mut reader = CacheReader::open(&path).unwrap();
        for n in [0, 1, 2 * INDEX_EVERY, 2 * INDEX_EVERY + 1, 5, 6 * INDEX_EVERY - 2] {
            reader.seek(&name(n)).unwrap();
            let found = reader.next().unwrap().unwrap().entry.path;
            assert_eq!(found.as_bytes(), name(n.next_multiple_of(2)), "{n}");
        }
        reader.seek(&name(6 * INDEX_EVERY)).unwrap();
        assert!(reader.next().unwrap().is_none());
    }
}
