//! Getting things onto the disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use n2s_storage::Put;

use super::Inner;
use super::disk::Disk;
use super::place::with_dirs;

/// From this many files on, one `syncfs` is quicker than an `fsync` each.
const SYNCFS_FROM: usize = 6;

/// The file system of the store, opened before the first write of a batch.
pub(super) struct Volume<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    file: File,
    trusted: bool,
}

impl<'a> Volume<'a> {
    pub(super) fn open(inner: &'a Inner) -> io::Result<Self> {
        let file = inner.disk.open_dir(&inner.root)?;
        let trusted = inner.disk.syncs_volumes(&file)?;
        Ok(Self { disk: &*inner.disk, root: &inner.root, file, trusted })
    }

    /// How many objects may share their syncs.
    pub(super) fn batch_max(&self) -> usize {
        // Without a sync of the whole, the files and directories of a batch would all stay open, and could be thousands.
        if self.trusted { usize::MAX } else { 1 }
    }

    /// Whether so many objects are synced as a whole.
    pub(super) fn syncs_together(&self, puts: usize) -> bool {
        self.trusted && puts >= SYNCFS_FROM
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        if !is_still(self.root, &self.file)? {
            let text = "the store's directory was replaced while it was written to";
            return Err(io::Error::other(text));
        }
        if !self.trusted {
            return Err(io::Error::other(
                "a directory changed meanwhile, and its file system cannot be synced",
            ));
        }
        self.disk.sync_volume(&self.file)
    }
}

/// Directories that are about to change.
pub(super) enum Dirs {
    /// So many that the whole file system is synced.
    Many,
    /// These.
    Each(BTreeMap<PathBuf, File>),
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
        opened.map_or(Self::Many, |()| Self::Each(dirs))
    }

    pub(super) fn sync(&self, inner: &Inner, volume: &Volume<'_>) -> io::Result<()> {
        let Self::Each(dirs) = self else { return volume.sync() };
        for (path, dir) in dirs {
            // Removed meanwhile, and made anew for the object: what is open here is not what it lies in.
            if !is_still(path, dir)? {
                return volume.sync();
            }
            inner.disk.sync(dir)?;
        }
        Ok(())
    }
}

/// Whether `path` still leads to what was opened there.
fn is_still(path: &Path, opened: &File) -> io::Result<bool> {
    let (now, then) = (std::fs::metadata(path)?, opened.metadata()?);
    Ok((now.dev(), now.ino()) == (then.dev(), then.ino()))
}

/// An object's directories, its own first, the root last.
fn above(inner: &Inner, put: &Put) -> Vec<PathBuf> {
    let path = inner.path(&put.key);
    path.ancestors().skip(1).take_while(|dir| dir.starts_with(&inner.root)).map(PathBuf::from).collect()
}
