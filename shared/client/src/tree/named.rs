//! Looking at some paths of a tree only.

use std::io;

use n2s_domain::RelPath;
use rustix::fs::AtFlags;

use super::Excludes;
use super::listing::Item;
use super::root::Root;
use super::stat::{Kind, Stat};
use super::walk::{Ahead, Lister, WalkOptions, Walked};

/// Looks at `named` paths only, in path order, with the directories that lead to them; with `descend`, at all below them, too.
/// Paths that are not there are not met.
pub fn walk_named(
    root: &Root,
    named: &[RelPath],
    descend: bool,
    options: &WalkOptions,
    mut sink: impl FnMut(Walked) -> bool,
) -> io::Result<()> {
    let mut keys: Vec<(Vec<u8>, RelPath)> = Vec::new();
    for path in named {
        let mut above = path.parent();
        while let Some(dir) = above {
            keys.push((dir.as_bytes().to_vec(), dir.clone()));
            above = dir.parent();
        }
        keys.push((path.as_bytes().to_vec(), path.clone()));
        let inside = named.iter().any(|other| other != path && path.is_within(other));
        if descend && !inside {
            keys.push(([path.as_bytes(), b"/"].concat(), path.clone()));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    if descend {
        keys.retain(|(key, path)| {
            key.ends_with(b"/") || !named.iter().any(|other| other != path && path.is_within(other))
        });
    }
    let top: Stat = rustix::fs::fstat(root.open_dir(&RelPath::root())?)?.into();
    let lister = Lister::new(root, options.one_file_system.then_some(top.identity.dev));
    for (key, path) in keys {
        let go_on = if key.ends_with(b"/") {
            let is_dir = lister.look(&path)?.is_some_and(|item| item.stat.kind == Kind::Directory);
            !is_dir || lister.descend(&Ahead::new(path, options.excludes.clone()), &mut sink)
        } else {
            match lister.look(&path)? {
                Some(Item { stat: Stat { kind: Kind::Special(what), .. }, .. }) => {
                    sink(Walked::Skipped { path, why: format!("a {what} is not stored") })
                }
                Some(Item { path, stat, target, .. }) => sink(Walked::Entry { path, stat, target }),
                None => true,
            }
        };
        if !go_on {
            break;
        }
    }
    Ok(())
}

impl Lister<'_> {
    /// One path by itself; `None` when it is not there.
    fn look(&self, path: &RelPath) -> io::Result<Option<Item>> {
        let Some(parent) = path.parent() else {
            let stat = rustix::fs::fstat(self.root.open_dir(path)?)?.into();
            return Ok(Some(Item { path: path.clone(), stat, target: None, descend: None }));
        };
        let dir = match self.root.open_dir(&parent) {
            Ok(dir) => dir,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut skipped = Vec::new();
        let item = self.item(&dir, path.clone(), &Excludes::default(), &mut skipped)?;
        let special =
            skipped.pop().map(|_| rustix::fs::statat(&dir, path.file_name(), AtFlags::SYMLINK_NOFOLLOW));
        match special {
            Some(stat) => {
                Ok(Some(Item { path: path.clone(), stat: stat?.into(), target: None, descend: None }))
            }
            None => Ok(item),
        }
    }
}
