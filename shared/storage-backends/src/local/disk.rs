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
    /// Gives a temporary its name, taking nobody's place unless told to.
    fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Waits until a file or directory is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Whether a sync of all of a file system can be relied on.
    fn syncs_volumes(&self, volume: &File) -> io::Result<bool>;
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

    /// A link and the removal of the old name take nobody's place and are quicker than a rename between directories, of which a
    /// file system does one at a time. File systems without links get the rename. A death in between leaves a temporary.
    fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
        if overwrite {
            return std::fs::rename(from, to);
        }
        match std::fs::hard_link(from, to) {
            // The object is in place, whatever becomes of its old name; a sweep finds that.
            Ok(()) => {
                let _ = std::fs::remove_file(from);
                Ok(())
            }
            Err(error) if has_no_links(&error) => rename_without_links(from, to),
            other => other,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn syncs_volumes(&self, volume: &File) -> io::Result<bool> {
        super::trust::of(volume)
    }

    fn sync_volume(&self, volume: &File) -> io::Result<()> {
        Ok(syncfs(volume)?)
    }
}

/// What FAT, and some of FUSE, answer to a link.
fn has_no_links(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS))
}

fn rename_without_links(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
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

#[cfg(test)]
mod tests {
    use std::fs::{read, write};

    use super::*;

    #[test]
    fn neither_way_of_naming_takes_anybodys_place() {
        for rename in [|from: &Path, to: &Path| Kernel.rename(from, to, false), rename_without_links] {
            let dir = tempfile::tempdir().unwrap();
            let [first, second, name] = ["first", "second", "name"].map(|name| dir.path().join(name));
            write(&first, "first").unwrap();
            write(&second, "second").unwrap();
            rename(&first, &name).unwrap();
            assert_eq!(rename(&second, &name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(read(&name).unwrap(), b"first");
            assert_eq!((first.exists(), second.exists()), (false, true));
        }
    }

    #[test]
    fn file_systems_without_links_are_known_by_their_answer() {
        use rustix::io::Errno;
        for errno in [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(has_no_links(&errno.into()), "{errno:?}");
        }
        for errno in [Errno::EXIST, Errno::NOENT, Errno::ACCESS, Errno::IO, Errno::NOSPC] {
            assert!(!has_no_links(&errno.into()), "{errno:?}");
        }
    }
}
