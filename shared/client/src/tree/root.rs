//! A directory that paths are resolved beneath.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use n2s_domain::RelPath;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// The kernel takes paths of up to 4,095 bytes at once; longer ones are opened piece by piece.
const PIECE_BYTES_MAX: usize = 4_000;

/// An open directory and what lies below it.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens `path`, following links: the root may lie behind one, nothing below it may.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the directory at `path`; `ELOOP` or `ENOTDIR` where a link stands in the way.
    pub fn open_dir(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens the file at `path` for reading. Never waits: a FIFO that took the place of a file opens at once.
    pub fn open_file(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    fn open_at(&self, path: &RelPath, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if path.is_root() {
            return Ok(rustix::fs::openat(&self.0, ".", flags, Mode::empty())?);
        }
        let mut pieces = pieces(path.as_bytes()).peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(piece) = pieces.next() {
            let from = at.as_ref().map_or_else(|| self.0.as_fd(), AsFd::as_fd);
            let how = if pieces.peek().is_some() {
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
            } else {
                flags
            };
            at = Some(open_beneath(from, piece, how)?);
        }
        at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

/// One open without following any link. Kernels and sandboxes without `openat2` get it component by component.
fn open_beneath(from: rustix::fd::BorrowedFd<'_>, piece: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(from, piece, flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOSYS) => open_components(from, piece, flags),
        other => Ok(other?),
    }
}

fn open_components(from: rustix::fd::BorrowedFd<'_>, piece: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut components = piece.split(|&b| b == b'/').peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(name) = components.next() {
        let how = if components.peek().is_some() { step } else { flags | OFlags::NOFOLLOW };
        let dir = at.as_ref().map_or(from, AsFd::as_fd);
        at = Some(rustix::fs::openat(dir, name, how, Mode::empty())?);
    }
    at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Cuts at separators into pieces the kernel takes. A single name is never that long.
fn pieces(mut path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if path.is_empty() {
            return None;
        }
        if path.len() <= PIECE_BYTES_MAX {
            return Some(std::mem::take(&mut path));
        }
        let cut = path[..PIECE_BYTES_MAX].iter().rposition(|&b| b == b'/').unwrap_or(PIECE_BYTES_MAX - 1);
        let (piece, rest) = path.split_at(cut);
        path = rest.strip_prefix(b"/").unwrap_or(rest);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_long_paths_at_separators_and_loses_nothing() {
        let path = vec!["d".repeat(200); 300].join("/");
        let cut: Vec<&[u8]> = pieces(path.as_bytes()).collect();
        assert!(cut.len() > 10 && cut.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
        assert_eq!(cut.join(&b'/'), path.as_bytes());
    }

    #[test]
    fn follows_no_link_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("real/file"), b"x").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let path = |text: &str| RelPath::new(text).unwrap();
        assert!(root.open_file(&path("real/file")).is_ok());
        assert!(root.open_file(&path("link/file")).is_err());
        assert!(root.open_dir(&path("link")).is_err());
    }
}
