//! Files of several pieces: a window of them under way, each fetched, opened and written at its offset by itself. The rest of
//! the file is never in memory.
//!
//! Rejected: a thread that writes what others have opened, in order. Pages are copied into the cache under the file's lock one
//! writer at a time either way, and a piece that comes late would hold up all after it.

use std::io;
use std::sync::Arc;

use n2s_domain::RelPath;
use tokio::task::{JoinSet, spawn_blocking};

use super::restore::{Shared, open, settle, weight};
use super::stretches;
use super::target::{Draft, Target};
use crate::budget::Share;
use crate::cpu::cores;
use crate::seam::{BadCopy, FileBlob, FileRow, SeamError};

/// Why a file is not there.
pub(super) enum Failure {
    /// A piece could not be had.
    Seam(SeamError),
    /// It could not be opened or written.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A blob and where it belongs: a sparse file repeats one of zeros, which is fetched and opened once.
struct Piece {
    blob: FileBlob,
    size: u32,
    offsets: Vec<u64>,
}

/// Restores one file.
pub(super) async fn restore(
    shared: &Arc<Shared>,
    row: &FileRow,
    bad_copies: &mut Vec<BadCopy>,
) -> Result<(), Failure> {
    if row.blobs.len() != row.entry.chunks().len() {
        let what = "the catalog does not know all of its pieces";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what).into());
    }
    let draft = Arc::new(begin(shared, row.entry.path.clone()).await?);
    let written = write(shared, row, &draft, bad_copies).await;
    let (shared, entry) = (Arc::clone(shared), row.entry.clone());
    let end = move || -> Result<(), Failure> {
        if written.is_err() {
            Target::discard(&draft);
        }
        written?;
        let sized = draft.file.set_len(entry.size());
        let published = sized.and_then(|()| shared.target.publish(&draft, &entry.path, &entry.meta));
        Ok(settle(&shared, &draft, &entry, published)?)
    };
    spawn_blocking(end).await.expect("publishing does not panic")
}

async fn begin(shared: &Arc<Shared>, path: RelPath) -> io::Result<Draft> {
    let shared = Arc::clone(shared);
    let begin = move || shared.target.nearby().draft(&path);
    spawn_blocking(begin).await.expect("making a file does not panic")
}

fn pieces(row: &FileRow) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (chunk, blob) in row.entry.chunks().iter().zip(&row.blobs) {
        match pieces.last_mut() {
            Some(last) if last.blob == *blob => last.offsets.push(chunk.offset),
            _ => pieces.push(Piece { blob: *blob, size: chunk.size, offsets: vec![chunk.offset] }),
        }
    }
    pieces
}

async fn write(
    shared: &Arc<Shared>,
    row: &FileRow,
    draft: &Arc<Draft>,
    bad_copies: &mut Vec<BadCopy>,
) -> Result<(), Failure> {
    let mut under_way = JoinSet::new();
    let mut waiting = pieces(row).into_iter();
    let mut failure = None;
    loop {
        // Twice as many as there are cores: some are being fetched, and one writes at a time.
        while under_way.len() < 2 * cores() && failure.is_none() {
            let Some(piece) = waiting.next() else { break };
            let share = shared.memory.take(weight(&piece.blob, u64::from(piece.size))).await;
            under_way.spawn(write_piece(Arc::clone(shared), Arc::clone(draft), piece, share));
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok(Ok(bad))) => bad_copies.extend(bad),
            Some(Ok(Err(error))) => failure = failure.or(Some(error)),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn write_piece(
    shared: Arc<Shared>,
    draft: Arc<Draft>,
    piece: Piece,
    share: Share,
) -> Result<Vec<BadCopy>, Failure> {
    let answer = shared.fetch(&[piece.blob]).await.pop().expect("one answer per question");
    let fetched = answer.map_err(Failure::Seam)?;
    let bytes = fetched.bytes;
    let write = move || -> io::Result<()> {
        let _share = share;
        let payload = open(&shared, &piece.blob, &bytes)?;
        drop(bytes);
        stretches::write(&draft.file, &payload, &piece.offsets)?;
        Ok(())
    };
    spawn_blocking(write).await.expect("writing does not panic")?;
    Ok(fetched.bad_copies)
}

#[cfg(test)]
mod tests {
    use n2s_domain::{ChunkRef, Content, ContentHash, FileEntry, FileMeta, FileTime, SealedHash};

    use super::*;

    #[test]
    fn a_run_of_one_blob_is_one_piece() {
        let hash = |which| ContentHash([which; 32]);
        let contents = [1, 0, 0, 0, 2, 0];
        let chunk = |(index, which): (u64, u8)| ChunkRef { hash: hash(which), offset: index * 10, size: 10 };
        let chunks: Vec<_> = (0..).zip(contents).map(chunk).collect();
        let blob = |which| FileBlob {
            id: i64::from(which),
            content_hash: hash(which),
            sealed_hash: SealedHash([which; 32]),
            encrypted_size: 9,
        };
        let meta = FileMeta { mode: 0, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } };
        let content = Content::File { size: 60, hash: hash(9), chunks };
        let entry = FileEntry { path: RelPath::new("f").unwrap(), meta, content, link_group: None };
        let row = FileRow { entry, blobs: contents.map(blob).to_vec() };
        let found: Vec<_> = pieces(&row).into_iter().map(|piece| (piece.blob.id, piece.offsets)).collect();
        assert_eq!(found, [(1, vec![0]), (0, vec![10, 20, 30]), (2, vec![40]), (0, vec![50])]);
    }
}
