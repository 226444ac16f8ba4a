//! Fetching, opening and writing files.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use n2s_domain::{BackendName, Content, ContentHash, FileEntry, RelPath};
use n2s_envelope::{Expect, Opener, WholeFileHasher, content_hash};

use super::options::PullProgress;
use super::target::{Draft, Target, looks_same};
use crate::seam::{Fetched, FileBlob, FileRow, Reader, SeamError};

/// Pieces of a large file fetched at once.
const PIECES: usize = 4;
/// A run of zeros this long becomes a hole.
const HOLE_BYTES: usize = 64 * 1024;
static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// What every file of a pull shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) reader: Arc<dyn Reader>,
    /// `None` where the other side opens.
    pub(super) opener: Option<Opener>,
    pub(super) target: Target,
    pub(super) from: Option<BackendName>,
    pub(super) verify: bool,
    pub(super) progress: Arc<dyn PullProgress>,
}

impl Shared {
    /// Sealed blobs where they can be opened here, else opened ones.
    async fn fetch(&self, blobs: &[FileBlob]) -> Vec<Result<Fetched, SeamError>> {
        match self.opener {
            Some(_) => self.reader.fetch(blobs, self.from.as_ref()).await,
            None => self.reader.fetch_opened(blobs, self.from.as_ref()).await,
        }
    }
}

/// What became of some files.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) kept: u64,
    pub(super) problems: Vec<(RelPath, String)>,
    pub(super) lost: Vec<(RelPath, String)>,
    pub(super) bad_copies: Vec<(BackendName, String)>,
}

/// Restores files: those of one blob fetch all their blobs in one call.
pub(super) async fn restore(shared: Arc<Shared>, rows: Vec<FileRow>) -> Done {
    let mut done = Done::default();
    let (kept, rows): (Vec<_>, Vec<_>) = check_present(&shared, rows).await;
    done.kept = kept.len() as u64;
    for row in &kept {
        shared.progress.restored(row.entry.size());
    }
    let (small, large): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.blobs.len() <= 1);
    let blobs: Vec<FileBlob> = small.iter().flat_map(|row| row.blobs.clone()).collect();
    let mut fetched = shared.fetch(&blobs).await.into_iter();
    let mut ready = Vec::new();
    for row in small {
        let Some(_) = row.blobs.first() else {
            ready.push((row, Bytes::new()));
            continue;
        };
        match fetched.next() {
            Some(Ok(answer)) => {
                done.bad_copies.extend(answer.bad_copies);
                ready.push((row, answer.bytes));
            }
            Some(Err(error)) => failed(&mut done, row.entry.path, &error),
            None => done.problems.push((row.entry.path, "the other side gave no answer for it".to_owned())),
        }
    }
    let writer = Arc::clone(&shared);
    let written = tokio::task::spawn_blocking(move || {
        let write = |(row, bytes): (FileRow, Bytes)| {
            let written = write_small(&writer, &row, &bytes);
            (row.entry, written)
        };
        ready.into_iter().map(write).collect::<Vec<_>>()
    });
    for (entry, written) in written.await.expect("writing does not panic") {
        count(&shared, &mut done, entry, written);
    }
    for row in large {
        let written = write_large(&shared, &row, &mut done).await;
        match written {
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

fn write_small(shared: &Shared, row: &FileRow, sealed: &Bytes) -> io::Result<()> {
    let payload = match row.blobs.first() {
        Some(blob) => open(shared, blob, sealed)?,
        None => Bytes::new(),
    };
    let draft = shared.target.draft(&row.entry.path)?;
    let written = write_at(&draft, &payload, 0)
        .and_then(|()| draft.file.set_len(payload.len() as u64))
        .and_then(|()| shared.target.publish(&draft, &row.entry.path, &row.entry.meta));
    settle(shared, &draft, &row.entry, written)
}

fn settle(shared: &Shared, draft: &Draft, entry: &FileEntry, written: io::Result<()>) -> io::Result<()> {
    if written.is_err() {
        Target::discard(draft);
    }
    written?;
    if shared.verify { verified(&shared.target, entry) } else { Ok(()) }
}

fn open(shared: &Shared, blob: &FileBlob, sealed: &Bytes) -> io::Result<Bytes> {
    let Some(opener) = &shared.opener else {
        let same = content_hash(sealed) == blob.content_hash;
        let other = || io::Error::new(io::ErrorKind::InvalidData, "the other side sent other bytes");
        return same.then(|| sealed.clone()).ok_or_else(other);
    };
    let opened = opener.open(sealed, &Expect::Blob(blob.content_hash));
    opened.map(|opened| opened.payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

enum Failure {
    Seam(SeamError),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Piece by piece at their offsets; the rest of the file is never in memory.
async fn write_large(shared: &Arc<Shared>, row: &FileRow, done: &mut Done) -> Result<(), Failure> {
    if row.blobs.len() != row.entry.chunks().len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the catalog does not know all of its pieces",
        )
        .into());
    }
    let draft = Arc::new(shared.target.draft(&row.entry.path)?);
    let written = write_pieces(shared, row, &draft, done).await;
    let finished = match written {
        Ok(()) => {
            let size = draft.file.set_len(row.entry.size());
            Ok(size.and_then(|()| shared.target.publish(&draft, &row.entry.path, &row.entry.meta)))
        }
        Err(failure) => {
            Target::discard(&draft);
            Err(failure)
        }
    };
    Ok(settle(shared, &draft, &row.entry, finished?)?)
}

async fn write_pieces(
    shared: &Arc<Shared>,
    row: &FileRow,
    draft: &Arc<Draft>,
    done: &mut Done,
) -> Result<(), Failure> {
    let offsets: Vec<u64> = row.entry.chunks().iter().map(|chunk| chunk.offset).collect();
    for (blobs, offsets) in row.blobs.chunks(PIECES).zip(offsets.chunks(PIECES)) {
        // A sparse file repeats one blob of zeros: it is fetched once.
        let mut unique: Vec<FileBlob> = blobs.to_vec();
        unique.dedup();
        let mut sealed = Vec::new();
        for (blob, answer) in unique.iter().zip(shared.fetch(&unique).await) {
            let answer = answer.map_err(Failure::Seam)?;
            done.bad_copies.extend(answer.bad_copies);
            sealed.push((*blob, answer.bytes));
        }
        let (shared, draft) = (Arc::clone(shared), Arc::clone(draft));
        let places: Vec<_> = blobs.iter().copied().zip(offsets.iter().copied()).collect();
        let write = move || -> io::Result<()> {
            for (blob, sealed) in sealed {
                let payload = open(&shared, &blob, &sealed)?;
                for (_, offset) in places.iter().filter(|(place, _)| *place == blob) {
                    write_at(&draft, &payload, *offset)?;
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(write).await.expect("writing does not panic")?;
    }
    Ok(())
}

/// Writes what is not zero; the file is new, so what is left out reads as zeros.
fn write_at(draft: &Draft, payload: &[u8], offset: u64) -> io::Result<()> {
    let mut at = 0;
    for piece in payload.chunks(HOLE_BYTES) {
        if piece != &ZEROS[..piece.len()] || piece.len() < HOLE_BYTES {
            draft.file.write_all_at(piece, offset + at)?;
        }
        at += piece.len() as u64;
    }
    Ok(())
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
