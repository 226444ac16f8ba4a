//! Walking a tree in the byte order of full paths, which is the order the catalog keeps its rows in: a push is then one merge
//! of two sorted streams, in bounded memory.
//!
//! A depth-first walk gives that order when each directory's items are sorted so: every entry at its name, and, for a
//! directory, one more item at its name followed by `/`, which is the descent. (`a-b` comes between `a` and `a/x`.)
//! Directories are read ahead by a few threads. Rejected: walking in readdir order and sorting afterwards, which holds all paths.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex};

use n2s_domain::RelPath;
use rustix::fs::{AtFlags, Dir};

use super::Excludes;
use super::ignore::{CACHE_SIGNATURE, CACHE_TAG, IGNORE_FILE};
use super::root::Root;
use super::stat::{Kind, Stat};

/// Directories that may be read ahead of the walk.
const READ_AHEAD_MAX: usize = 64;
/// Threads that read ahead.
const READERS: usize = 3;

/// What to leave out.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Patterns.
    pub excludes: Excludes,
    /// Stay on the root's file system; a mount point is kept as an empty directory.
    pub one_file_system: bool,
}

/// What a walk meets, in path order.
#[derive(Debug)]
pub enum Walked {
    /// An entry to store. `target` holds a link's.
    Entry {
        /// Where.
        path: RelPath,
        /// Its `lstat`.
        stat: Stat,
        /// Where a link points, any bytes.
        target: Option<Vec<u8>>,
    },
    /// What lies below this directory could not be read; what an earlier version has there must be carried forward.
    Unreadable {
        /// The directory.
        dir: RelPath,
        /// Why.
        error: io::Error,
    },
    /// An entry that is left out, and why the user should know.
    Skipped {
        /// Where.
        path: RelPath,
        /// Why, in words.
        why: String,
    },
}

type Listing = io::Result<(Vec<Item>, Vec<(RelPath, String)>)>;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) path: RelPath,
    pub(super) stat: Stat,
    pub(super) target: Option<Vec<u8>>,
    /// The rules that hold below, for a directory to descend into.
    pub(super) descend: Option<Arc<Ahead>>,
}

/// A directory to list, by whoever comes first: a reader, or the walk itself.
#[derive(Debug)]
pub(super) struct Ahead {
    dir: RelPath,
    excludes: Excludes,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
enum State {
    Untouched,
    Taken,
    Done(Listing),
}

/// Walks everything below `root`, root included, and hands each entry to `sink`; ends early when the sink returns false.
pub fn walk(root: &Root, options: &WalkOptions, mut sink: impl FnMut(Walked) -> bool) -> io::Result<()> {
    let top: Stat = rustix::fs::fstat(root.open_dir(&RelPath::root())?)?.into();
    if !sink(Walked::Entry { path: RelPath::root(), stat: top, target: None }) {
        return Ok(());
    }
    let device = options.one_file_system.then_some(top.identity.dev);
    let lister = Lister::new(root, device);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| lister.read_ahead());
        }
        lister.descend(&Ahead::new(RelPath::root(), options.excludes.clone()), &mut sink);
        lister.close();
    });
    Ok(())
}

impl Ahead {
    pub(super) fn new(dir: RelPath, excludes: Excludes) -> Arc<Self> {
        Arc::new(Self { dir, excludes, state: Mutex::new(State::Untouched), done: Condvar::new() })
    }

    fn take(&self) -> bool {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        let mine = matches!(*state, State::Untouched);
        if mine {
            *state = State::Taken;
        }
        mine
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Ahead>>,
    read: usize,
    closed: bool,
}

pub(super) struct Lister<'a> {
    pub(super) root: &'a Root,
    device: Option<u64>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl<'a> Lister<'a> {
    pub(super) fn new(root: &'a Root, device: Option<u64>) -> Self {
        Self { root, device, queue: Mutex::new(Queue::default()), wake: Condvar::new() }
    }

    /// Emits a directory's items in order; false when the sink has had enough.
    pub(super) fn descend(&self, ahead: &Arc<Ahead>, sink: &mut impl FnMut(Walked) -> bool) -> bool {
        // A stack of our own: a tree may be deeper than a thread's stack.
        let mut stack = vec![match self.open(ahead, sink) {
            Ok(plan) => plan,
            Err(go_on) => return go_on,
        }];
        while let Some(plan) = stack.last_mut() {
            match plan.next() {
                None => drop(stack.pop()),
                Some(Planned::Emit(item)) => {
                    let Item { path, stat, target, .. } = *item;
                    if !sink(Walked::Entry { path, stat, target }) {
                        return false;
                    }
                }
                Some(Planned::Descend(ahead)) => match self.open(&ahead, sink) {
                    Ok(plan) => stack.push(plan),
                    Err(true) => {}
                    Err(false) => return false,
                },
            }
        }
        true
    }

    /// The sorted items of a directory; `Err(go on)` when it could not be read.
    fn open(
        &self,
        ahead: &Arc<Ahead>,
        sink: &mut impl FnMut(Walked) -> bool,
    ) -> Result<std::vec::IntoIter<Planned>, bool> {
        let (items, skipped) = match self.listing(ahead) {
            Ok(listing) => listing,
            Err(error) => return Err(sink(Walked::Unreadable { dir: ahead.dir.clone(), error })),
        };
        for (path, why) in skipped {
            if !sink(Walked::Skipped { path, why }) {
                return Err(false);
            }
        }
        self.enqueue(items.iter().filter_map(|item| item.descend.clone()));
        Ok(plan(items).into_iter())
    }

    /// Takes what a reader has listed, or lists it now.
    fn listing(&self, ahead: &Ahead) -> Listing {
        if ahead.take() {
            return self.list(ahead);
        }
        let mut state = ahead.state.lock().expect("no holder of this lock panics");
        loop {
            if let State::Done(_) = *state {
                let State::Done(listing) = std::mem::replace(&mut *state, State::Taken) else {
                    unreachable!()
                };
                self.queue.lock().expect("no holder of this lock panics").read -= 1;
                self.wake.notify_one();
                return listing;
            }
            state = ahead.done.wait(state).expect("no holder of this lock panics");
        }
    }

    fn enqueue(&self, dirs: impl DoubleEndedIterator<Item = Arc<Ahead>>) {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        // The next directory of a depth-first walk goes first; the far end is forgotten when the queue is long, not the listing.
        dirs.rev().for_each(|dir| queue.waiting.push_front(dir));
        queue.waiting.truncate(READ_AHEAD_MAX);
        self.wake.notify_all();
    }

    fn close(&self) {
        self.queue.lock().expect("no holder of this lock panics").closed = true;
        self.wake.notify_all();
    }

    fn read_ahead(&self) {
        loop {
            let mut queue = self.queue.lock().expect("no holder of this lock panics");
            let ahead = loop {
                if queue.closed {
                    return;
                }
                let room = queue.read < READ_AHEAD_MAX;
                if let Some(ahead) = room.then(|| queue.waiting.pop_front()).flatten() {
                    if !ahead.take() {
                        continue;
                    }
                    queue.read += 1;
                    break ahead;
                }
                queue = self.wake.wait(queue).expect("no holder of this lock panics");
            };
            drop(queue);
            let listing = self.list(&ahead);
            *ahead.state.lock().expect("no holder of this lock panics") = State::Done(listing);
            ahead.done.notify_all();
        }
    }

    fn list(&self, ahead: &Ahead) -> Listing {
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

enum Planned {
    Emit(Box<Item>),
    Descend(Arc<Ahead>),
}

/// Entries and descents in the byte order of full paths.
fn plan(items: Vec<Item>) -> Vec<Planned> {
    let mut planned = Vec::with_capacity(items.len());
    for mut item in items {
        if let Some(ahead) = item.descend.take() {
            let mut key = item.path.file_name().to_vec();
            key.push(b'/');
            planned.push((key, Planned::Descend(ahead)));
        }
        planned.push((item.path.file_name().to_vec(), Planned::Emit(Box::new(item))));
    }
    planned.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    planned.into_iter().map(|(_, what)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &std::path::Path, options: &WalkOptions) -> Vec<RelPath> {
        let mut seen = Vec::new();
        walk(&Root::open(dir).unwrap(), options, |walked| {
            if let Walked::Entry { path, .. } = walked {
                seen.push(path);
            }
            true
        })
        .unwrap();
        seen
    }

    #[test]
    fn gives_the_byte_order_of_full_paths() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/x/1", "a/x/2", "a-b/1", "a.txt/1", "a!/z", "b/c/d/e", "a/x-1/q", "é/1", "e\u{301}/1"]
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let seen = paths(dir.path(), &WalkOptions::default());
        let mut sorted = seen.clone();
        sorted.sort();
        assert_eq!(seen, sorted);
        assert_eq!(seen.len(), 1 + 9 + 11, "{seen:?}");
    }

    #[test]
    fn leaves_out_what_is_ignored_and_the_contents_of_caches() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("keep", ""),
            ("no.tmp", ""),
            ("d/.n2signore", "secret\n"),
            ("d/secret", ""),
            ("d/open", ""),
            ("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
            ("cache/big", ""),
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let options = WalkOptions {
            excludes: Excludes::from_patterns(&["*.tmp".into()]).unwrap(),
            one_file_system: true,
        };
        let seen: Vec<String> = paths(dir.path(), &options).iter().map(ToString::to_string).collect();
        assert_eq!(seen, [".", "cache", "d", "d/.n2signore", "d/open", "keep"]);
    }
}
