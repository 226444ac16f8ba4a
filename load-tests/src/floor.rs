//! The least a large file can take: reading, cutting, hashing, compressing, sealing, self-checking and writing, on all cores and
//! nothing else; then reading, opening and writing back. No catalog, no staging, no jobs, one sync at the end of each.

pub mod pull;
pub mod push;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use n2s_domain::{ContentHash, SeededEntropy};
use n2s_envelope::{Chunk, Chunker, Expect, Metadata, Sealer, Vault, WholeFileHasher, sealed_hash};
use serde::Serialize;

/// Seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Floor {
    /// There.
    pub push_seconds: f64,
    /// And back.
    pub pull_seconds: f64,
}

struct Piece {
    offset: u64,
    object: PathBuf,
    content: ContentHash,
}

/// Takes `file` to objects in `dir`, which it makes, and back.
pub fn measure(file: &Path, dir: &Path) -> Result<Floor> {
    fs::create_dir(dir)?;
    let vault = Vault::create(&SeededEntropy::new(1));
    let started = Instant::now();
    let pieces = push(file, dir, &vault)?;
    let push_seconds = started.elapsed().as_secs_f64();
    let back = dir.join("back");
    let started = Instant::now();
    pull(&pieces, &back, &vault)?;
    let pull_seconds = started.elapsed().as_secs_f64();
    ensure!(fs::metadata(&back)?.len() == fs::metadata(file)?.len(), "the floor lost bytes");
    fs::remove_dir_all(dir)?;
    Ok(Floor { push_seconds, pull_seconds })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn push(file: &Path, dir: &Path, vault: &Vault) -> Result<Vec<Piece>> {
    let sealer = vault.sealer().context("a new vault has an epoch")?;
    let (sender, receiver) = sync_channel(1);
    let receiver = Mutex::new(receiver);
    let pieces = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> =
            (0..cores()).map(|_| scope.spawn(|| seal_all(&receiver, &sealer, dir, &pieces))).collect();
        let mut whole = WholeFileHasher::default();
        for chunk in Chunker::new(File::open(file)?, vault.chunk_seed()) {
            let chunk = chunk?;
            whole.update(&chunk.bytes);
            if sender.send(chunk).is_err() {
                break;
            }
        }
        drop(sender);
        std::hint::black_box(whole.finish());
        threads.into_iter().try_for_each(|thread| thread.join().expect("sealing does not panic"))
    })?;
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(pieces.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn seal_all(
    chunks: &Mutex<Receiver<Chunk>>,
    sealer: &Sealer,
    dir: &Path,
    pieces: &Mutex<Vec<Piece>>,
) -> Result<()> {
    let metadata = Metadata::blob("load".parse()?, "floor".parse()?);
    loop {
        let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return Ok(()) };
        let sealed = sealer.seal(&metadata, &chunk.bytes)?;
        let object = dir.join(sealed.sealed_hash.to_hex());
        fs::write(&object, &sealed.bytes)?;
        let piece = Piece { offset: chunk.offset, object, content: sealed.content_hash };
        pieces.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }
}

fn pull(pieces: &[Piece], to: &Path, vault: &Vault) -> Result<()> {
    let (opener, file) = (vault.opener(), File::create(to)?);
    let share = pieces.len().div_ceil(cores()).max(1);
    std::thread::scope(|scope| {
        let (opener, file) = (&opener, &file);
        let open = move |pieces: &[Piece]| -> Result<()> {
            for piece in pieces {
                let object = fs::read(&piece.object)?;
                let name = sealed_hash(&object).to_hex();
                ensure!(piece.object.ends_with(&name), "the floor reads other bytes than it wrote");
                let opened = opener.open(&object, &Expect::Blob(piece.content))?;
                file.write_all_at(&opened.payload, piece.offset)?;
            }
            Ok(())
        };
        let threads: Vec<_> = pieces.chunks(share).map(|pieces| scope.spawn(move || open(pieces))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("opening does not panic"))
    })?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_down_to_the_floor_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let bytes: Vec<u8> = (0..5_000_000_u64).flat_map(u64::to_le_bytes).collect();
        fs::write(&file, &bytes).unwrap();
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        let vault = Vault::create(&SeededEntropy::new(1));
        let pieces = push(&file, &work, &vault).unwrap();
        assert!(pieces.len() > 2);
        pull(&pieces, &dir.path().join("back"), &vault).unwrap();
        assert!(fs::read(dir.path().join("back")).unwrap() == bytes);
    }
}
