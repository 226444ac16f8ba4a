//! What the store asks of the file system when it writes, so that tests can make each step fail.
//!
//! Rejected: a preloaded library that fails system calls. It hits whatever else the process does, needs a C compiler, and cannot
//! see which of two syncs it is in.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};

/// The steps of a write; each does what its system call does.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file, private to its owner, that is not there yet.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes some of `bytes`, maybe not all.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize>;
    /// Makes one level of directory, private to its owner; one that is there is left as it is.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Opens a directory, to sync it or its file system.
    fn open_dir(&self, path: &Path) -> io::Result<File>;
    /// Gives `source` a second name.
    fn link(&self, source: &Path, target: &Path) -> io::Result<()>;
    /// Renames, taking nobody's place unless told to.
    fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Waits until a file or directory is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Waits until all of a file system is on the disk.
    fn sync_volume(&self, volume: &File) -> io::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel;

impl Disk for Kernel {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn open_dir(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn link(&self, source: &Path, target: &Path) -> io::Result<()> {
        std::fs::hard_link(source, target)
    }

    /// File systems that know no rename that takes nobody's place (NFS, some FUSE ones) get a link instead, which takes nobody's
    /// place either.
    fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
        if overwrite {
            return std::fs::rename(from, to);
        }
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                std::fs::hard_link(from, to)?;
                std::fs::remove_file(from)
            }
            other => Ok(other?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_volume(&self, volume: &File) -> io::Result<()> {
        Ok(syncfs(volume)?)
    }
}

/// Writes all of `bytes`, however little the disk takes at a time.
pub(super) fn write_all(disk: &dyn Disk, file: &mut File, bytes: &[u8]) -> io::Result<()> {
    struct Through<'a>(&'a dyn Disk, &'a mut File);
    impl io::Write for Through<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(self.1, bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    Through(disk, file).write_all(bytes)
}
