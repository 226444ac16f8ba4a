//! The least a first push of many small files can take: finding and reading them, hashing, compressing, sealing, self-checking,
//! one new object for each content, and one sync at the end; on all cores and nothing else.
//!
//! What it leaves out is what n2s promises beyond that: no catalog, no staging that outlives a crash, no jobs, no manifest, nothing
//! on the disk before the end.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use n2s_domain::{ContentHash, SeededEntropy};
use n2s_envelope::{Metadata, Sealer, Vault, content_hash};

use super::cores;

/// Files that a thread takes at a time.
const HANDED: usize = 32;

/// Seconds from the files below `root` to objects in `dir`, which it makes.
pub fn measure(root: &Path, dir: &Path) -> Result<f64> {
    fs::create_dir(dir)?;
    let sealer = Vault::create(&SeededEntropy::new(1)).sealer().context("a new vault has an epoch")?;
    let started = Instant::now();
    push(root, dir, &sealer)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(seconds)
}

fn push(root: &Path, dir: &Path, sealer: &Sealer) -> Result<()> {
    let mut files = Vec::new();
    find(root, &mut files)?;
    for fan in 0..=u8::MAX {
        fs::create_dir(dir.join(format!("{fan:02x}")))?;
    }
    let (next, known) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        let store = || -> Result<()> {
            let metadata = Metadata::blob("load".parse()?, "floor".parse()?);
            loop {
                let from = next.fetch_add(HANDED, Ordering::Relaxed).min(files.len());
                let some = &files[from..(from + HANDED).min(files.len())];
                if some.is_empty() {
                    return Ok(());
                }
                some.iter().try_for_each(|file| store_one(file, dir, (sealer, &metadata), &known))?;
            }
        };
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(store)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("sealing does not panic"))
    })?;
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { find(&entry.path(), files)? } else { files.push(entry.path()) }
    }
    Ok(())
}

fn store_one(
    file: &Path,
    dir: &Path,
    (sealer, metadata): (&Sealer, &Metadata),
    known: &Mutex<BTreeSet<ContentHash>>,
) -> Result<()> {
    let bytes = fs::read(file)?;
    if known.lock().unwrap_or_else(PoisonError::into_inner).insert(content_hash(&bytes)) {
        let sealed = sealer.seal(metadata, &bytes)?;
        let name = sealed.sealed_hash.to_hex();
        fs::write(dir.join(&name[..2]).join(&name[2..]), &sealed.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_becomes_one_object() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (dir.path().join("root"), dir.path().join("store"));
        fs::create_dir_all(root.join("below")).unwrap();
        for number in 0..100 {
            fs::write(root.join(format!("below/{number}")), format!("{}", number / 2)).unwrap();
        }
        fs::create_dir(&store).unwrap();
        push(&root, &store, &Vault::create(&SeededEntropy::new(1)).sealer().unwrap()).unwrap();
        let mut objects = Vec::new();
        find(&store, &mut objects).unwrap();
        assert_eq!(objects.len(), 50);
    }
}
