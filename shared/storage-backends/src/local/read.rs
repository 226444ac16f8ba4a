//! Reading and listing.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use n2s_domain::Timestamp;
use n2s_domain::limits::SEALED_BYTES_MAX;
use n2s_storage::{Listed, ObjectKey};

pub(super) fn read(path: &Path, range: Option<Range<u64>>) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let range = range.unwrap_or(0..length);
    let wanted = range.end.saturating_sub(range.start);
    if range.end > length || wanted > SEALED_BYTES_MAX as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is {length} bytes long")));
    }
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start))?;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    file.take(wanted).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != wanted {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it became shorter while it was read"));
    }
    Ok(bytes.into())
}

/// Lists a tree directory by directory, so that memory is bounded by the largest one.
pub(super) struct Lister {
    root: PathBuf,
    open: Vec<String>,
}

impl Lister {
    pub(super) fn new(root: PathBuf, prefix: &str) -> Self {
        Self { root, open: vec![prefix.to_owned()] }
    }

    /// The objects of the next directory; `None` at the end.
    pub(super) fn next_directory(mut self) -> (Option<io::Result<Vec<Listed>>>, Self) {
        let Some(dir) = self.open.pop() else { return (None, self) };
        let listed = self.list(&dir);
        (Some(listed), self)
    }

    fn list(&mut self, dir: &str) -> io::Result<Vec<Listed>> {
        let entries = match self.open(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.root.is_dir() => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Names that n2s cannot have written are somebody else's; `lost+found` is one.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            let Ok(key) = ObjectKey::new(name) else { continue };
            // Of the entry itself: what a link points to is not ours, and may be the tree above.
            let found = match entry.metadata() {
                // Deleted since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if found.is_dir() {
                if key.as_str() != super::temps::TEMP_DIR {
                    self.open.push(key.as_str().to_owned());
                }
            } else if found.is_file() {
                listed.push(Listed { key, size: found.len(), modified: modified(&found) });
            }
        }
        Ok(listed)
    }

    /// Opens a directory that is one, and not a link to one.
    fn open(&self, dir: &str) -> io::Result<std::fs::ReadDir> {
        let path = self.root.join(dir);
        if !dir.is_empty() && path.symlink_metadata()?.is_symlink() {
            let text = format!("{} is a symbolic link, which is not followed", path.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
        }
        std::fs::read_dir(path)
    }
}

fn modified(found: &std::fs::Metadata) -> Option<Timestamp> {
    let age = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(age.as_micros()).ok()?))
}
