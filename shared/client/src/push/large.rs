//! Files longer than a blob: read once, cut, hashed as a whole on the way; the pieces are sealed and sent several at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

use n2s_domain::{ChunkRef, Content, ContentHash, FileEntry, RelPath};
use n2s_envelope::{Chunk, Chunker, WholeFileHasher, content_hash};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batch::{Done, Shared, metadata};
use super::error::PushError;
use super::holes::Holes;
use super::options::Problem;
use super::read::{self, Opened};
use super::seals::{self, store};
use super::stat_cache::Seen;
use crate::cpu::on_a_core;
use crate::seam::Offered;
use crate::tree::Stat;

/// Pieces sealed and sent at once: with the reader's own, this many maximal chunks are in memory twice.
const AT_ONCE: usize = 4;

type Piece = JoinHandle<Result<(ChunkRef, u64), PushError>>;

/// Sends a file's pieces and returns its entry.
pub(super) async fn send(
    shared: &Arc<Shared>,
    path: RelPath,
    opened: Opened,
    done: &mut Done,
) -> Result<Seen, PushError> {
    let Opened { file, stat: before, fresh } = opened;
    let (sender, mut chunks) = mpsc::channel(1);
    let (seed, progress) = (shared.chunk_seed, Arc::clone(&shared.progress));
    let reading = tokio::task::spawn_blocking(move || cut(&file, seed, &sender, &*progress));
    let mut pieces: VecDeque<Piece> = VecDeque::new();
    let mut refs = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        if pieces.len() == AT_ONCE {
            refs.push(join(pieces.pop_front(), done).await?);
        }
        pieces.push_back(tokio::spawn(send_piece(Arc::clone(shared), path.clone(), before, chunk)));
    }
    while !pieces.is_empty() {
        refs.push(join(pieces.pop_front(), done).await?);
    }
    let read = reading.await.expect("reading does not panic");
    let (hash, after) = read.map_err(|source| PushError::Source { path: path.to_string().into(), source })?;
    let size = refs.iter().map(|chunk| u64::from(chunk.size)).sum();
    done.read_bytes += size;
    let still = !fresh && before == after && size == after.size;
    if !still {
        let what = "it changed while it was read; what is stored may be of no single moment".to_owned();
        done.problems.push(Problem { path: path.clone(), what, serious: true });
    }
    let content = Content::File { size, hash, chunks: refs };
    let trusted = read::trust(&after, !still, shared.clock.now());
    Ok(Seen { trusted, entry: FileEntry { path, meta: after.meta, content, link_group: after.link_group() } })
}

/// Reads and cuts; returns the hash of the whole and the file's state afterwards.
fn cut(
    file: &File,
    seed: u64,
    sender: &mpsc::Sender<Chunk>,
    progress: &dyn super::options::Progress,
) -> io::Result<(ContentHash, Stat)> {
    let mut hasher = WholeFileHasher::default();
    for chunk in Chunker::new(Holes::new(file), seed) {
        let chunk = chunk?;
        hasher.update(&chunk.bytes);
        progress.read(chunk.bytes.len() as u64);
        if sender.blocking_send(chunk).is_err() {
            break;
        }
    }
    Ok((hasher.finish(), read::stat(file)?))
}

async fn send_piece(
    shared: Arc<Shared>,
    path: RelPath,
    stat: Stat,
    chunk: Chunk,
) -> Result<(ChunkRef, u64), PushError> {
    let size = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
    let (bytes, offset) = (chunk.bytes.clone(), chunk.offset);
    let hash = on_a_core(move || content_hash(&bytes)).await;
    let piece = ChunkRef { hash, offset, size };
    if shared.producer.offer(&shared.lease, &[hash]).await? != [Offered::Missing] {
        return Ok((piece, 0));
    }
    let metadata = metadata(&shared, &path, &stat, offset);
    let mut done = Done::default();
    let content = seals::Content { hash, metadata, bytes: chunk.bytes };
    store(&shared, vec![content], &mut done).await?;
    Ok((piece, done.sent_bytes))
}

async fn join(piece: Option<Piece>, done: &mut Done) -> Result<ChunkRef, PushError> {
    let piece = piece.expect("the caller looked").await.expect("sending does not panic");
    let (chunk, sent) = piece?;
    done.sent_bytes += sent;
    Ok(chunk)
}
