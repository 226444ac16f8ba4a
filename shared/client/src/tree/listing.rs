//! What one directory holds.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use n2s_domain::RelPath;
use rustix::fs::{AtFlags, Dir};

use super::Excludes;
use super::ignore::{CACHE_SIGNATURE, CACHE_TAG, IGNORE_FILE};
use super::stat::{Kind, Stat};
use super::walk::{Ahead, Lister};

/// What a directory holds, and what of it is left out, and why.
pub(super) type Listing = io::Result<(Vec<Item>, Vec<(RelPath, String)>)>;

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) path: RelPath,
    pub(super) stat: Stat,
    pub(super) target: Option<Vec<u8>>,
    /// The rules that hold below, for a directory to descend into.
    pub(super) descend: Option<Arc<Ahead>>,
}

impl Lister<'_> {
    /// Lists a directory, in no order.
    pub(super) fn list(&self, ahead: &Ahead) -> Listing {
        let dir = self.root.open_dir(&ahead.dir)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        let mut skipped = Vec::new();
        if names.iter().any(|name| name == CACHE_TAG)
            && begins_with_signature(&self.read_small(&ahead.dir, CACHE_TAG))
        {
            return Ok((Vec::new(), skipped));
        }
        let excludes = if names.iter().any(|name| name == IGNORE_FILE) {
            ahead.excludes.below(&ahead.dir, &self.read_small(&ahead.dir, IGNORE_FILE)).unwrap_or_else(
                |error| {
                    skipped.push((ahead.dir.clone(), format!("{error}; none of its patterns is used")));
                    ahead.excludes.clone()
                },
            )
        } else {
            ahead.excludes.clone()
        };
        let mut items = Vec::with_capacity(names.len());
        for name in names {
            match ahead.dir.join(&name) {
                Ok(path) => items.extend(self.item(&dir, path, &excludes, &mut skipped)?),
                Err(error) => skipped.push((ahead.dir.clone(), error.to_string())),
            }
        }
        Ok((items, skipped))
    }

    /// One entry of an open directory, unless it is excluded, cannot be stored, or has just vanished.
    pub(super) fn item(
        &self,
        dir: &rustix::fd::OwnedFd,
        path: RelPath,
        excludes: &Excludes,
        skipped: &mut Vec<(RelPath, String)>,
    ) -> io::Result<Option<Item>> {
        let name = path.file_name();
        let stat: Stat = match rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat.into(),
            // It vanished between the listing and now: as if the walk had come a moment later.
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_dir = stat.kind == Kind::Directory;
        if excludes.exclude(&path, is_dir) {
            return Ok(None);
        }
        if let Kind::Special(what) = stat.kind {
            skipped.push((path, format!("a {what} is not stored")));
            return Ok(None);
        }
        let target = match stat.kind {
            Kind::Symlink => match rustix::fs::readlinkat(dir.as_fd(), name, Vec::new()) {
                Ok(target) => Some(target.into_bytes()),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            _ => None,
        };
        let here = self.device.is_none_or(|device| device == stat.identity.dev);
        let descend = (is_dir && here).then(|| Ahead::new(path.clone(), excludes.clone()));
        Ok(Some(Item { path, stat, target, descend }))
    }

    /// A small file's bytes; empty when it cannot be read, which the entry itself will report.
    fn read_small(&self, dir: &RelPath, name: &[u8]) -> Vec<u8> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let opened = dir.join(name).ok().and_then(|path| self.root.open_file(&path).ok());
        if let Some(file) = opened {
            // A failure leaves what was read: at worst a pattern is missed.
            let _ = std::fs::File::from(file).take(1024 * 1024).read_to_end(&mut bytes);
        }
        bytes
    }
}

fn begins_with_signature(bytes: &[u8]) -> bool {
    bytes.starts_with(CACHE_SIGNATURE)
}
