//! A batch: consecutive paths of the merge, read, sealed, sent and entered together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use n2s_domain::{ChunkRef, Clock, Content, ContentHash, EntryChange, FileEntry, RelPath, VaultId};
use n2s_envelope::{Metadata, content_hash};
use n2s_failpoints::{Point, failpoint};

use super::diff::Step;
use super::error::PushError;
use super::large;
use super::options::{Problem, Progress};
use super::read::{self, Outcome};
use super::seals::{self, Seals, store};
use super::stat_cache::Seen;
use crate::budget::{Budget, Share};
use crate::seam::{Lease, Offered, Producer};
use crate::tree::{Root, Stat};

/// What every batch of a push shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) producer: Arc<dyn Producer>,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) root: Root,
    pub(super) lease: Lease,
    pub(super) vault: VaultId,
    pub(super) seals: Seals,
    pub(super) chunk_seed: u64,
    /// Project and dataset of every blob's metadata.
    pub(super) blob: Metadata,
    pub(super) budget: Budget,
}

/// Files read in one batch, and their bytes.
const READS_MAX: usize = 512;
const BYTES_MAX: u64 = 6 * 1024 * 1024;
/// Paths that may have something to record, and paths of any kind: a batch costs the catalog some transactions, however little
/// there is in it, so where little has changed it spans more of the tree.
const CHANGES_MAX: usize = 2_048;
const STEPS_MAX: usize = 4_096;

/// Consecutive steps of the merge.
#[derive(Debug, Default)]
pub(super) struct Batch {
    steps: Vec<Step>,
    reads: usize,
    /// Steps that may have something to record; a file that is read may turn out to be as it was.
    changes: usize,
    bytes: u64,
    /// Bytes of every file, those that are not read included.
    sizes: u64,
    /// Its number, if it has anything to record.
    pub(super) number: Option<u64>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// For the next stat cache, in path order.
    pub(super) seen: Vec<Seen>,
    pub(super) put: u64,
    pub(super) removed: u64,
    pub(super) unchanged: u64,
    pub(super) read_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) problems: Vec<Problem>,
}

impl Batch {
    pub(super) fn push(&mut self, step: Step) {
        match &step {
            Step::Read { stat, .. } => {
                self.reads += 1;
                self.bytes = self.bytes.saturating_add(stat.size);
                self.sizes = self.sizes.saturating_add(stat.size);
            }
            Step::Unchanged(seen) => self.sizes = self.sizes.saturating_add(seen.entry.size()),
            _ => {}
        }
        self.changes += usize::from(matches!(step, Step::Put(_) | Step::Read { .. } | Step::Removed(_)));
        self.steps.push(step);
    }

    pub(super) fn is_full(&self) -> bool {
        self.reads >= READS_MAX
            || self.bytes >= BYTES_MAX
            || self.changes >= CHANGES_MAX
            || self.steps.len() >= STEPS_MAX
    }

    /// Bytes it reads.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it may have something to record.
    pub(super) fn changes(&self) -> bool {
        self.changes > 0
    }
}

/// A small file, read.
struct SmallFile {
    path: RelPath,
    stat: Stat,
    /// Taken away once they are sealed.
    bytes: Vec<u8>,
    size: u64,
    hash: ContentHash,
    known: Option<Box<FileEntry>>,
    /// What was read may be of no single moment: the next push reads it again.
    moved: bool,
}

/// A step after reading.
enum Looked {
    As(Step),
    Small(SmallFile),
    Large { path: RelPath, opened: read::Opened },
}

/// Does everything a batch needs.
pub(super) async fn process(shared: Arc<Shared>, batch: Batch, _share: Share) -> Result<Done, PushError> {
    let mut done = Done::default();
    let (number, paths, sizes) = (batch.number, batch.steps.len() as u64, batch.sizes);
    let (mut looked, problems) = look(&shared, batch.steps).await;
    done.problems = problems;
    send_small(&shared, &mut looked, &mut done).await?;
    let mut changes = Vec::new();
    for looked in looked {
        match looked {
            Looked::As(step) => settle(step, &mut done, &mut changes),
            Looked::Small(file) => {
                let known = file.known.clone();
                record(entry_of(&shared, &file), known, &mut done, &mut changes);
            }
            Looked::Large { path, opened } => {
                let seen = large::send(&shared, path, opened, &mut done).await?;
                record(seen, None, &mut done, &mut changes);
            }
        }
    }
    failpoint(Point::BatchSent);
    if let Some(number) = number {
        shared.producer.entries(&shared.lease, number, &changes).await?;
    }
    failpoint(Point::BatchEntered);
    shared.progress.passed(paths, sizes);
    Ok(done)
}

fn settle(step: Step, done: &mut Done, changes: &mut Vec<EntryChange>) {
    match step {
        Step::Unchanged(seen) => {
            done.unchanged += 1;
            done.seen.push(seen);
        }
        Step::Carried(seen) => done.seen.push(seen),
        Step::Put(seen) => {
            done.put += 1;
            changes.push(EntryChange::Put(seen.entry.clone()));
            done.seen.push(seen);
        }
        Step::Removed(change) => {
            done.removed += 1;
            changes.push(change);
        }
        Step::Problem { path, what, serious } => done.problems.push(Problem { path, what, serious }),
        Step::Read { .. } => {}
    }
}

/// A file that reads as it was is unchanged, whatever its ctime says.
fn record(seen: Seen, known: Option<Box<FileEntry>>, done: &mut Done, changes: &mut Vec<EntryChange>) {
    if known.is_some_and(|known| *known == seen.entry) {
        done.unchanged += 1;
    } else {
        done.put += 1;
        changes.push(EntryChange::Put(seen.entry.clone()));
    }
    done.seen.push(seen);
}

fn entry_of(shared: &Shared, file: &SmallFile) -> Seen {
    let size = file.size;
    let piece = ChunkRef { hash: file.hash, offset: 0, size: u32::try_from(size).unwrap_or(u32::MAX) };
    let chunks = if size == 0 { Vec::new() } else { vec![piece] };
    let content = Content::File { size, hash: file.hash, chunks };
    let link_group = file.stat.link_group();
    let entry = FileEntry { path: file.path.clone(), meta: file.stat.meta, content, link_group };
    let trusted = read::trust(&file.stat, file.moved, shared.clock.now());
    Seen { entry, trusted }
}

/// Reads what is to be read, on a thread that may block.
async fn look(shared: &Arc<Shared>, steps: Vec<Step>) -> (Vec<Looked>, Vec<Problem>) {
    let shared = Arc::clone(shared);
    let looking = move || {
        let mut problems = Vec::new();
        let looked = steps.into_iter().filter_map(|step| look_at(&shared, step, &mut problems)).collect();
        (looked, problems)
    };
    tokio::task::spawn_blocking(looking).await.expect("reading does not panic")
}

fn look_at(shared: &Shared, step: Step, problems: &mut Vec<Problem>) -> Option<Looked> {
    let Step::Read { path, stat, known } = step else { return Some(Looked::As(step)) };
    let mut tell = |what: String| problems.push(Problem { path: path.clone(), what, serious: true });
    match read::read(&shared.root, &path, &*shared.clock) {
        Ok(Outcome::Small { bytes, stat, moved }) => {
            shared.progress.read(bytes.len() as u64);
            if moved {
                tell(
                    "it changed each time it was read; what is stored may be of no single moment".to_owned(),
                );
            }
            let (size, hash) = (bytes.len() as u64, content_hash(&bytes));
            Some(Looked::Small(SmallFile { path, stat, bytes, size, hash, known, moved }))
        }
        Ok(Outcome::Large(opened)) => Some(Looked::Large { path, opened }),
        // As if the walk had come a moment later.
        Ok(Outcome::Vanished | Outcome::Replaced) => {
            tell(
                "it vanished or was replaced while the push ran; the next push will see what is there"
                    .to_owned(),
            );
            gone(path, &stat, known)
        }
        Err(error) => {
            tell(format!(
                "it could not be read ({error}){}",
                if known.is_some() { "; its last version is kept" } else { "" }
            ));
            known.map(|entry| Looked::As(Step::Carried(Seen { entry: *entry, trusted: None })))
        }
    }
}

fn gone(path: RelPath, _stat: &Stat, known: Option<Box<FileEntry>>) -> Option<Looked> {
    known.map(|_| Looked::As(Step::Removed(EntryChange::Remove(path))))
}

/// Offers the contents of small files, seals those that are missing, and sends them.
async fn send_small(shared: &Arc<Shared>, looked: &mut [Looked], done: &mut Done) -> Result<(), PushError> {
    let small = |looked: &'_ Looked| match looked {
        Looked::Small(file) if file.size > 0 => Some(file.hash),
        _ => None,
    };
    done.read_bytes +=
        looked.iter().map(|l| if let Looked::Small(file) = l { file.size } else { 0 }).sum::<u64>();
    let contents: BTreeSet<ContentHash> = looked.iter().filter_map(small).collect();
    if contents.is_empty() {
        return Ok(());
    }
    let contents: Vec<_> = contents.into_iter().collect();
    let answers = shared.producer.offer(&shared.lease, &contents).await?;
    let missing = contents.iter().zip(answers).filter(|(_, answer)| *answer == Offered::Missing);
    let missing: BTreeSet<ContentHash> = missing.map(|(hash, _)| *hash).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<ContentHash, (Metadata, Vec<u8>)> = BTreeMap::new();
    for looked in looked {
        if let Looked::Small(file) = looked {
            let bytes = std::mem::take(&mut file.bytes);
            if missing.contains(&file.hash) {
                let place = || (metadata(shared, &file.path, &file.stat, 0), bytes);
                wanted.entry(file.hash).or_insert_with(place);
            }
        }
    }
    let content = |(hash, (metadata, bytes)): (ContentHash, (Metadata, Vec<u8>))| seals::Content {
        hash,
        metadata,
        bytes: bytes.into(),
    };
    store(shared, wanted.into_iter().map(content).collect(), done).await.map(drop)
}

/// Metadata of a blob first seen at `path`.
pub(super) fn metadata(shared: &Shared, path: &RelPath, stat: &Stat, offset: u64) -> Metadata {
    Metadata {
        filepath: Some(path.clone()),
        mtime: Some(stat.meta.mtime),
        mode: Some(stat.meta.mode),
        offset: Some(offset),
        file_size: Some(stat.size),
        ..shared.blob.clone()
    }
}
