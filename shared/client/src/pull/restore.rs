//! Fetching, opening and writing files.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use n2s_domain::{BackendName, Content, ContentHash, FileEntry, RelPath};
use n2s_envelope::{Expect, Opener, WholeFileHasher, content_hash};

use super::large::{self, Failure};
use super::options::PullProgress;
use super::stretches;
use super::target::{Draft, Nearby, Target, looks_same};
use crate::budget::Budget;
use crate::seam::{BadCopy, Fetched, FileBlob, FileRow, Reader, SeamError};

/// Contents in memory.
pub(super) const MEMORY_KIB: u32 = 96 * 1024;

/// What every file of a pull shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) reader: Arc<dyn Reader>,
    /// `None` where the other side opens.
    pub(super) opener: Option<Opener>,
    pub(super) target: Target,
    pub(super) from: Option<BackendName>,
    pub(super) verify: bool,
    /// Every blob has a share from before it is fetched until it is written.
    pub(super) memory: Budget,
    pub(super) progress: Arc<dyn PullProgress>,
}

impl Shared {
    /// Sealed blobs where they can be opened here, else opened ones.
    pub(super) async fn fetch(&self, blobs: &[FileBlob]) -> Vec<Result<Fetched, SeamError>> {
        match self.opener {
            Some(_) => self.reader.fetch(blobs, self.from.as_ref()).await,
            None => self.reader.fetch_opened(blobs, self.from.as_ref()).await,
        }
    }
}

/// What a blob takes: it is there as it was fetched, decrypted and unpacked, for a moment all at once.
pub(super) fn weight(blob: &FileBlob, size: u64) -> u64 {
    blob.encrypted_size * 2 + size
}

/// What became of some files.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) kept: u64,
    pub(super) problems: Vec<(RelPath, String)>,
    pub(super) lost: Vec<(RelPath, String)>,
    pub(super) bad_copies: Vec<BadCopy>,
}

/// Restores files: those of one blob fetch all their blobs in one call.
pub(super) async fn restore(shared: Arc<Shared>, mut rows: Vec<FileRow>) -> Done {
    let mut done = Done::default();
    if shared.target.may_hold() {
        let (kept, absent) = check_present(&shared, rows).await;
        done.kept = kept.len() as u64;
        for row in &kept {
            shared.progress.restored(row.entry.size());
        }
        rows = absent;
    }
    let (small, large): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.blobs.len() <= 1);
    restore_small(&shared, small, &mut done).await;
    for row in large {
        match large::restore(&shared, &row, &mut done.bad_copies).await {
            Ok(()) => count(&shared, &mut done, row.entry, Ok(())),
            Err(Failure::Seam(error)) => failed(&mut done, row.entry.path, &error),
            Err(Failure::Io(error)) => count(&shared, &mut done, row.entry, Err(error)),
        }
    }
    done
}

/// Files that are there already, by size and mtime, and by content when verifying.
async fn check_present(shared: &Arc<Shared>, rows: Vec<FileRow>) -> (Vec<FileRow>, Vec<FileRow>) {
    let shared = Arc::clone(shared);
    let present = move |row: &FileRow| {
        let entry = &row.entry;
        let found = shared.target.stat(&entry.path).ok().flatten();
        found.is_some_and(|found| looks_same(&found, entry.size(), &entry.meta, shared.target.owner()))
            && (!shared.verify || verified(&shared.target, entry).is_ok())
    };
    tokio::task::spawn_blocking(move || rows.into_iter().partition(present))
        .await
        .expect("looking does not panic")
}

async fn restore_small(shared: &Arc<Shared>, rows: Vec<FileRow>, done: &mut Done) {
    let mut blobs: Vec<FileBlob> = rows.iter().flat_map(|row| row.blobs.clone()).collect();
    // Doubles of a file mostly lie beside it.
    blobs.dedup();
    let sealed: u64 = blobs.iter().map(|blob| blob.encrypted_size).sum();
    let opened = rows.iter().filter_map(|row| Some(weight(row.blobs.first()?, row.entry.size()))).max();
    let share = shared.memory.take(sealed + opened.unwrap_or(0)).await;
    let answers = shared.fetch(&blobs).await;
    let mut fetched = HashMap::with_capacity(blobs.len());
    for (blob, answer) in blobs.into_iter().zip(answers) {
        let bytes = answer.map(|answer| {
            done.bad_copies.extend(answer.bad_copies);
            answer.bytes
        });
        fetched.insert(blob, bytes);
    }
    let mut ready = Vec::with_capacity(rows.len());
    for row in rows {
        match row.blobs.first().map(|blob| (blob, fetched.get(blob))) {
            None => ready.push((row, Bytes::new())),
            Some((_, Some(Ok(bytes)))) => {
                let bytes = bytes.clone();
                ready.push((row, bytes));
            }
            Some((_, Some(Err(error)))) => failed(done, row.entry.path, error),
            Some((_, None)) => {
                done.problems.push((row.entry.path, "the other side gave no answer for it".to_owned()));
            }
        }
    }
    drop(fetched);
    let writer = Arc::clone(shared);
    let write = move || {
        let _share = share;
        write_small(&writer, ready)
    };
    for (entry, written) in tokio::task::spawn_blocking(write).await.expect("writing does not panic") {
        count(shared, done, entry, written);
    }
}

fn failed(done: &mut Done, path: RelPath, error: &SeamError) {
    match error {
        SeamError::NoIntactCopy { .. } => done.lost.push((path, error.to_string())),
        _ => done.problems.push((path, error.to_string())),
    }
}

fn count(shared: &Shared, done: &mut Done, entry: FileEntry, written: io::Result<()>) {
    match written {
        Ok(()) => {
            done.files += 1;
            done.bytes += entry.size();
            shared.progress.restored(entry.size());
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            done.lost.push((entry.path, error.to_string()));
        }
        Err(error) => done.problems.push((entry.path, format!("it could not be written: {error}"))),
    }
}

fn write_small(shared: &Shared, ready: Vec<(FileRow, Bytes)>) -> Vec<(FileEntry, io::Result<()>)> {
    let mut nearby = shared.target.nearby();
    let mut last = None;
    let mut write = |(row, sealed): (FileRow, Bytes)| {
        let payload = match row.blobs.first() {
            Some(blob) => open_next(shared, blob, &sealed, &mut last),
            None => Ok(Bytes::new()),
        };
        let written = payload.and_then(|payload| write_one(shared, &mut nearby, &row.entry, &payload));
        (row.entry, written)
    };
    ready.into_iter().map(&mut write).collect()
}

/// Opens a blob, unless it is the last one again.
fn open_next(
    shared: &Shared,
    blob: &FileBlob,
    sealed: &Bytes,
    last: &mut Option<(FileBlob, Bytes)>,
) -> io::Result<Bytes> {
    if let Some((_, payload)) = last.as_ref().filter(|(opened, _)| opened == blob) {
        return Ok(payload.clone());
    }
    let payload = open(shared, blob, sealed)?;
    *last = Some((*blob, payload.clone()));
    Ok(payload)
}

fn write_one(shared: &Shared, nearby: &mut Nearby<'_>, entry: &FileEntry, payload: &[u8]) -> io::Result<()> {
    let draft = nearby.draft(&entry.path)?;
    let written = stretches::write(&draft.file, payload, &[0])
        .and_then(|short| if short { draft.file.set_len(payload.len() as u64) } else { Ok(()) })
        .and_then(|()| shared.target.publish(&draft, &entry.path, &entry.meta));
    settle(shared, &draft, entry, written)
}

/// After the attempt to write and publish: takes away what failed, reads back what is to be verified.
pub(super) fn settle(
    shared: &Shared,
    draft: &Draft,
    entry: &FileEntry,
    written: io::Result<()>,
) -> io::Result<()> {
    if written.is_err() {
        Target::discard(draft);
    }
    written?;
    if shared.verify { verified(&shared.target, entry) } else { Ok(()) }
}

pub(super) fn open(shared: &Shared, blob: &FileBlob, sealed: &Bytes) -> io::Result<Bytes> {
    let Some(opener) = &shared.opener else {
        let same = content_hash(sealed) == blob.content_hash;
        let other = || io::Error::new(io::ErrorKind::InvalidData, "the other side sent other bytes");
        return same.then(|| sealed.clone()).ok_or_else(other);
    };
    let opened = opener.open(sealed, &Expect::Blob(blob.content_hash));
    opened.map(|opened| opened.payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a restored file back.
fn verified(target: &Target, entry: &FileEntry) -> io::Result<()> {
    use io::Read as _;
    let Content::File { hash, .. } = &entry.content else { return Ok(()) };
    let mut file = target.open(&entry.path)?;
    let mut hasher = WholeFileHasher::default();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let found: ContentHash = hasher.finish();
    if found == *hash {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "read back it has the hash {found}, not {hash}; the target's disk is not to be trusted"
    )))
}
