//! Walking a tree in the byte order of full paths, which is the order the catalog keeps its rows in: a push is then one merge
//! of two sorted streams, in bounded memory.
//!
//! A depth-first walk gives that order when each directory's items are sorted so: every entry at its name, and, for a
//! directory, one more item at its name followed by `/`, which is the descent. (`a-b` comes between `a` and `a/x`.)
//! Directories are read ahead by a few threads. Rejected: walking in readdir order and sorting afterwards, which holds all paths.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};

use n2s_domain::RelPath;

use super::Excludes;
use super::listing::{Item, Listing};
use super::root::Root;
use super::stat::Stat;

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

/// A directory to list, by whoever comes first: a reader, or the walk itself.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) dir: RelPath,
    pub(super) excludes: Excludes,
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
    pub(super) device: Option<u64>,
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
