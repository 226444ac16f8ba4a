//! The directory a pull writes into.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use n2s_domain::{ChangesetId, FileMeta, RelPath};
use n2s_failpoints::{Point, failpoint};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use crate::tree::{Kind, Root, Stat};

/// A file being written; it has no name anybody looks for until it is whole.
#[derive(Debug)]
pub(super) struct Draft {
    dir: Arc<OwnedFd>,
    temp: Vec<u8>,
    pub(super) file: File,
}

/// Where one thread writes just now: files come in path order, so that the directory of the last one is kept open for the next.
#[derive(Debug)]
pub(super) struct Nearby<'a> {
    target: &'a Target,
    dir: Option<(RelPath, Arc<OwnedFd>)>,
}

/// What was in the target's directory when the pull began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Whose pull, of which changeset, maybe the same, came to no end there.
    pub(super) died: Option<ChangesetId>,
    /// Nothing but, maybe, a marker.
    pub(super) empty: bool,
}

/// The target.
#[derive(Debug)]
pub(super) struct Target {
    root: Root,
    owner: bool,
    /// Nothing was there when the pull began, so that nothing needs to be looked for.
    fresh: bool,
    drafts: AtomicU64,
    /// What this pull's drafts are called, up to their number.
    prefix: String,
    stale: Option<Stale>,
}

/// Drafts of a pull that died here. They lie where their files were to be, so that the directories this pull drafts in are
/// the ones to look through: each once, before its first draft.
#[derive(Debug)]
struct Stale {
    prefix: String,
    /// Hashes of the paths of directories; held while one is looked through.
    cleaned: Mutex<HashSet<u64, BuildHasherDefault<DefaultHasher>>>,
}

impl Target {
    /// For a pull of `changeset`, into a directory where that was found.
    pub(super) fn new(root: Root, changeset: ChangesetId, found: Found) -> Self {
        // No version holds a file whose name tells that version's id.
        let prefix = |changeset: ChangesetId| format!(".n2s-pull-{changeset}-");
        let stale = found.died.map(|died| Stale { prefix: prefix(died), cleaned: Mutex::default() });
        let owner = rustix::process::geteuid().is_root();
        let own = format!("{}{}-", prefix(changeset), std::process::id());
        Self { root, owner, fresh: found.empty, drafts: AtomicU64::new(0), prefix: own, stale }
    }

    fn parent(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.root.open_dir(&path.parent().unwrap_or(RelPath::root()))
    }

    /// Whether owners are restored.
    pub(super) fn owner(&self) -> bool {
        self.owner
    }

    /// Whether something may be where a file is to be.
    pub(super) fn may_hold(&self) -> bool {
        !self.fresh
    }

    /// What is at `path` now, links not followed.
    pub(super) fn stat(&self, path: &RelPath) -> io::Result<Option<Stat>> {
        let parent = match self.parent(path) {
            Ok(parent) => parent,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the directory and those above it, writable for now; what is there and not a directory gives way.
    pub(super) fn make_dir(&self, path: &RelPath) -> io::Result<()> {
        if path.is_root() {
            return Ok(());
        }
        let parent = match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir(&path.parent().unwrap_or(RelPath::root()))?;
                self.parent(path)?
            }
            other => other?,
        };
        let name = path.file_name();
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::EXIST) => {
                let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                    // A directory left by an earlier pull may be closed to its owner; links are not followed by `openat` here.
                    let open = rustix::fs::openat(
                        &parent,
                        name,
                        OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY,
                        Mode::empty(),
                    );
                    drop(open?);
                    if found.st_mode & 0o700 != 0o700 {
                        rustix::fs::chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
                    }
                    return Ok(());
                }
                rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
                Ok(rustix::fs::mkdirat(&parent, name, Mode::RWXU)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// For one thread.
    pub(super) fn nearby(&self) -> Nearby<'_> {
        Nearby { target: self, dir: None }
    }

    fn draft(&self, dir: Arc<OwnedFd>) -> io::Result<Draft> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let temp = format!("{}{number}", self.prefix).into_bytes();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, temp.as_slice(), flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Draft { dir, temp, file: file.into() })
    }

    /// Gives a whole file its metadata and its name.
    pub(super) fn publish(&self, draft: &Draft, path: &RelPath, meta: &FileMeta) -> io::Result<()> {
        failpoint(Point::PullDrafted);
        if self.owner {
            let (uid, gid) = owner(meta);
            rustix::fs::fchown(&draft.file, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&draft.file, Mode::from_raw_mode(meta.mode))?;
        rustix::fs::futimens(&draft.file, &times(meta))?;
        rustix::fs::renameat(&draft.dir, draft.temp.as_slice(), &draft.dir, path.file_name())?;
        failpoint(Point::PullPublished);
        Ok(())
    }

    /// Takes an unfinished file away.
    pub(super) fn discard(draft: &Draft) {
        // It is ours, and in nobody's way.
        let _ = rustix::fs::unlinkat(&draft.dir, draft.temp.as_slice(), AtFlags::empty());
    }

    /// Makes a symbolic link; what is there gives way unless it is a directory.
    pub(super) fn symlink(&self, path: &RelPath, to: &[u8], meta: &FileMeta) -> io::Result<()> {
        let parent = self.ready_parent(path)?;
        let name = path.file_name();
        Self::clear(&parent, name)?;
        rustix::fs::symlinkat(to, &parent, name)?;
        self.set_by_name(&parent, name, meta)
    }

    /// Makes a hard link to a path restored before.
    pub(super) fn hard_link(&self, path: &RelPath, to: &RelPath) -> io::Result<()> {
        let (parent, source) = (self.ready_parent(path)?, self.parent(to)?);
        Self::clear(&parent, path.file_name())?;
        Ok(rustix::fs::linkat(&source, to.file_name(), &parent, path.file_name(), AtFlags::empty())?)
    }

    /// A directory's own metadata, after everything below it is done.
    pub(super) fn finish_dir(&self, path: &RelPath, meta: &FileMeta) -> io::Result<()> {
        let dir = self.root.open_dir(path)?;
        if self.owner {
            let (uid, gid) = owner(meta);
            rustix::fs::fchown(&dir, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(meta.mode))?;
        Ok(rustix::fs::futimens(&dir, &times(meta))?)
    }

    /// Opens a restored file to read it back.
    pub(super) fn open(&self, path: &RelPath) -> io::Result<File> {
        self.root.open_file(path).map(File::from)
    }

    /// The directory above `path`, made when it is absent. What is there and no directory stays: a link in its place was put
    /// there by this very version, or by somebody who wants it followed.
    fn ready_parent(&self, path: &RelPath) -> io::Result<OwnedFd> {
        match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir(&path.parent().unwrap_or(RelPath::root()))?;
                self.parent(path)
            }
            other => other,
        }
    }

    /// The same, without what a dead pull left in it.
    fn cleaned_parent(&self, path: &RelPath) -> io::Result<OwnedFd> {
        let dir = self.ready_parent(path)?;
        if let Some(stale) = &self.stale {
            stale.clean(&dir, path)?;
        }
        Ok(dir)
    }

    fn clear(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(parent.as_fd(), name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn set_by_name(&self, parent: &OwnedFd, name: &[u8], meta: &FileMeta) -> io::Result<()> {
        if self.owner {
            let (uid, gid) = owner(meta);
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(rustix::fs::utimensat(parent, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl Nearby<'_> {
    /// Begins a file.
    pub(super) fn draft(&mut self, path: &RelPath) -> io::Result<Draft> {
        let parent = path.parent().unwrap_or(RelPath::root());
        let dir = match self.dir.take().filter(|(open, _)| *open == parent) {
            Some((_, dir)) => dir,
            None => Arc::new(self.target.cleaned_parent(path)?),
        };
        self.dir = Some((parent, Arc::clone(&dir)));
        self.target.draft(dir)
    }
}

impl Stale {
    /// Takes the dead pull's drafts out of the directory of `path`.
    fn clean(&self, dir: &OwnedFd, path: &RelPath) -> io::Result<()> {
        let parent = path.parent().unwrap_or(RelPath::root());
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(parent.as_bytes());
        let mut cleaned = self.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
        if !cleaned.insert(hash) {
            return Ok(());
        }
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(self.prefix.as_bytes()) {
                rustix::fs::unlinkat(dir, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// Whether what is there looks like what is to be restored: then it is kept. Only root restores owners.
pub(super) fn looks_same(found: &Stat, size: u64, meta: &FileMeta, owner: bool) -> bool {
    let owners = (found.meta.uid, found.meta.gid) == (meta.uid, meta.gid);
    found.kind == Kind::File
        && found.size == size
        && (found.meta.mtime, found.meta.mode) == (meta.mtime, meta.mode)
        && (owners || !owner)
}

fn owner(meta: &FileMeta) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(meta.uid), rustix::fs::Gid::from_raw(meta.gid))
}

fn times(meta: &FileMeta) -> Timestamps {
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: i64::from(meta.mtime.nanos) };
    Timestamps { last_access: time, last_modification: time }
}
