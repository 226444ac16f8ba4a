//! Writing a batch: temporaries, disk, renames, disk.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use n2s_storage::{Body, Put, StorageError, Stored};

use super::Inner;

/// From this many files on, one `syncfs` is quicker than an `fsync` each.
const SYNCFS_FROM: usize = 6;
/// Threads that write the temporaries of one batch.
const WRITERS: usize = 4;
/// Batches this small are not worth a thread.
const SPREAD_FROM: usize = 16;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A put on its way.
enum Stage {
    /// The very bytes are there already; nothing is left but to make sure that the directory is on the disk.
    Present,
    /// Written; `synced` when its bytes are on the disk.
    Written { temp: PathBuf, synced: bool },
    /// Failed.
    Failed(io::Error),
}

/// Stores a batch; see the module above.
pub(super) fn store(inner: &Inner, puts: &[Put]) -> Vec<Result<Stored, StorageError>> {
    let mut stages = write_all(inner, puts);
    let unsynced = |stage: &Stage| matches!(stage, Stage::Written { synced: false, .. });
    if let Err(error) = sync_files(inner, &stages) {
        fail(&mut stages, unsynced, &error);
    }
    let mut dirs = BTreeSet::new();
    for (put, stage) in puts.iter().zip(&mut stages) {
        if let Stage::Written { temp, .. } = stage
            && let Err(error) = rename(inner, temp, put, &mut dirs)
        {
            // The temporary is ours; the error that matters is the first.
            let _ = std::fs::remove_file(&*temp);
            *stage = Stage::Failed(error);
        } else if let (Stage::Present, Some(dir)) = (&stage, inner.path(&put.key).parent()) {
            dirs.insert(dir.to_owned());
        }
    }
    if let Err(error) = sync_dirs(inner, &dirs) {
        fail(&mut stages, |stage| !matches!(stage, Stage::Failed(_)), &error);
    }
    let answer = |(put, stage): (&Put, Stage)| match stage {
        Stage::Failed(error) => Err(inner.error("store", Some(&put.key), error)),
        Stage::Present | Stage::Written { .. } => Ok(Stored::default()),
    };
    puts.iter().zip(stages).map(answer).collect()
}

fn fail(stages: &mut [Stage], which: impl Fn(&Stage) -> bool, error: &io::Error) {
    for stage in stages.iter_mut().filter(|stage| which(stage)) {
        if let Stage::Written { temp, .. } = stage {
            // Already renamed, perhaps; then the object stays, unacknowledged, and is written again.
            let _ = std::fs::remove_file(temp);
        }
        *stage = Stage::Failed(copy(error));
    }
}

/// The same error once more: the kernel tells of a failed sync only once, but all files of the batch are in doubt.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn write_all(inner: &Inner, puts: &[Put]) -> Vec<Stage> {
    let one = |put: &Put| write_one(inner, put).unwrap_or_else(Stage::Failed);
    if puts.len() < SPREAD_FROM {
        return puts.iter().map(one).collect();
    }
    std::thread::scope(|scope| {
        let share = puts.len().div_ceil(WRITERS);
        let parts =
            puts.chunks(share).map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().expect("writing does not panic")).collect()
    })
}

fn write_one(inner: &Inner, put: &Put) -> io::Result<Stage> {
    let target = inner.path(&put.key);
    if !put.overwrite {
        match std::fs::metadata(&target) {
            Ok(found) => return same(&target, &found, put).map(|()| Stage::Present),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let temp = temp_path(inner);
    let linked = match &put.body {
        Body::File { path, .. } => link_alone(path, &temp),
        Body::Bytes(_) => false,
    };
    if !linked {
        write_file(inner, &temp, put.body.bytes())?;
    }
    Ok(Stage::Written { temp, synced: linked })
}

/// Accepts an object that is there already if it is byte for byte the one to store.
fn same(target: &Path, found: &std::fs::Metadata, put: &Put) -> io::Result<()> {
    let bytes = put.body.bytes();
    if found.len() == bytes.len() as u64 && std::fs::read(target)? == bytes[..] {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes are stored under this name"))
}

/// Links `source` to `temp` if that makes this store the only one to share its inode.
fn link_alone(source: &Path, temp: &Path) -> bool {
    let links = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.nlink());
    if links(source) != 1 || std::fs::hard_link(source, temp).is_err() {
        return false;
    }
    // Another store may have linked it at the same moment: then neither keeps the link.
    let alone = links(temp) <= 2;
    if !alone {
        let _ = std::fs::remove_file(temp);
    }
    alone
}

fn write_file(inner: &Inner, temp: &Path, bytes: &[u8]) -> io::Result<()> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp);
    let mut file = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(&inner.root.join("tmp"))?;
            create()?
        }
        other => other?,
    };
    file.write_all(bytes).inspect_err(|_| drop(std::fs::remove_file(temp)))
}

fn temp_path(inner: &Inner) -> PathBuf {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    inner.root.join("tmp").join(format!("{}-{number}", std::process::id()))
}

/// One level only, so that a missing root stays missing.
fn make_dir(dir: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn rename(inner: &Inner, temp: &Path, put: &Put, dirs: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let target = inner.path(&put.key);
    let parent = target.parent().unwrap_or(&inner.root);
    if let Err(error) = std::fs::rename(temp, &target) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        let mut dir = inner.root.clone();
        for component in parent.strip_prefix(&inner.root).unwrap_or(Path::new("")) {
            dirs.insert(dir.clone());
            dir.push(component);
            make_dir(&dir)?;
        }
        std::fs::rename(temp, &target)?;
    }
    dirs.insert(parent.to_owned());
    Ok(())
}

fn sync_files(inner: &Inner, stages: &[Stage]) -> io::Result<()> {
    let temps = stages.iter().filter_map(|stage| match stage {
        Stage::Written { temp, synced: false } => Some(temp),
        _ => None,
    });
    let temps: Vec<_> = temps.collect();
    if temps.len() >= SYNCFS_FROM {
        return Ok(rustix::fs::syncfs(File::open(&inner.root)?)?);
    }
    temps.into_iter().try_for_each(|temp| File::open(temp)?.sync_data())
}

fn sync_dirs(inner: &Inner, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
    if dirs.len() >= SYNCFS_FROM {
        return Ok(rustix::fs::syncfs(File::open(&inner.root)?)?);
    }
    dirs.iter().try_for_each(|dir| File::open(dir)?.sync_all())
}
