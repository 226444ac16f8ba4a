//! Getting things onto the disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use n2s_storage::Put;

use super::Inner;
use super::disk::Disk;
use super::place::with_dirs;

/// From this many files on, one `syncfs` is quicker than an `fsync` each.
const SYNCFS_FROM: usize = 6;

/// The file system of the store, opened before the first write of a batch.
pub(super) struct Volume<'a> {
    disk: &'a dyn Disk,
    file: File,
    shared: bool,
}

impl<'a> Volume<'a> {
    pub(super) fn open(inner: &'a Inner, puts: usize) -> io::Result<Self> {
        let file = inner.disk.open_dir(&inner.root)?;
        Ok(Self { disk: &*inner.disk, file, shared: puts >= SYNCFS_FROM })
    }

    /// Whether the batch is synced as a whole.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync_volume(&self.file)
    }
}

/// Directories that are about to change.
pub(super) enum Dirs {
    /// So many that the whole file system is synced.
    Many,
    /// These.
    Each(Vec<File>),
}

impl Dirs {
    /// Opens, and makes, every directory from each object's own up to the root: another put may have made one of them and not be
    /// done yet. Where one cannot be opened, the file system, which is open already, stands for all of them; whether its object
    /// can be placed is for that object to find out.
    pub(super) fn open(inner: &Inner, puts: &[Put]) -> Self {
        let mut dirs = BTreeMap::new();
        let opened = puts.iter().try_for_each(|put| {
            for dir in above(inner, put) {
                if dirs.len() >= SYNCFS_FROM {
                    return None;
                }
                if let Entry::Vacant(new) = dirs.entry(dir) {
                    let file = with_dirs(inner, put, || inner.disk.open_dir(new.key())).ok()?;
                    new.insert(file);
                }
            }
            Some(())
        });
        opened.map_or(Self::Many, |()| Self::Each(dirs.into_values().collect()))
    }

    pub(super) fn sync(&self, inner: &Inner, volume: &Volume<'_>) -> io::Result<()> {
        match self {
            Self::Many => volume.sync(),
            Self::Each(dirs) => dirs.iter().try_for_each(|dir| inner.disk.sync(dir)),
        }
    }
}

/// An object's directories, its own first, the root last.
fn above(inner: &Inner, put: &Put) -> Vec<PathBuf> {
    let path = inner.path(&put.key);
    path.ancestors().skip(1).take_while(|dir| dir.starts_with(&inner.root)).map(PathBuf::from).collect()
}
