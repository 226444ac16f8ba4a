//! Writing a batch: temporaries, disk, renames, disk.
//!
//! What is to be synced is opened before it is written and stays open until then: the kernel tells of a failed write-back
//! once, to those who had the file (or, for `syncfs`, the file system) open; who opens it afterwards may be told all is well.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use n2s_domain::Timestamp;
use n2s_storage::{Body, Put, StorageError, Stored};

use super::{Inner, TEMP_DIR};

/// From this many files on, one `syncfs` is quicker than an `fsync` each.
const SYNCFS_FROM: usize = 6;
/// Threads that write the temporaries of one batch.
const WRITERS: usize = 4;
/// Batches this small are not worth a thread.
const SPREAD_FROM: usize = 16;

/// Numbers temporaries.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A put on its way.
enum Stage {
    /// The very bytes are in place; nothing is left but to make sure that its directories are on the disk.
    Present,
    /// In a temporary file.
    Written { temp: PathBuf, wait: Wait },
    /// Failed.
    Failed(io::Error),
}

/// What a temporary's bytes still wait for.
enum Wait {
    /// Nothing: they are a link to what staging had synced.
    Done,
    /// For a sync of this file.
    File(File),
    /// For a sync of the file system.
    Volume,
}

/// Stores a batch; see the module above.
pub(super) fn store(inner: &Inner, puts: &[Put]) -> Vec<Result<Stored, StorageError>> {
    let mut stages = match volume_for(inner, puts.len()) {
        Ok(volume) => {
            let mut stages = write_all(inner, puts, volume.is_some());
            if let Err(error) = sync_files(volume.as_ref(), &stages) {
                fail(
                    &mut stages,
                    |stage| matches!(stage, Stage::Written { wait, .. } if !wait.is_over()),
                    &error,
                );
            }
            stages
        }
        Err(error) => puts.iter().map(|_| Stage::Failed(copy(&error))).collect(),
    };
    let mut dirs = BTreeSet::new();
    for (put, stage) in puts.iter().zip(&mut stages) {
        if let Stage::Written { temp, .. } = stage {
            *stage = match place(inner, temp, put) {
                Ok(()) => Stage::Present,
                Err(error) => {
                    // The temporary is ours; the error that matters is the first.
                    let _ = std::fs::remove_file(&*temp);
                    Stage::Failed(error)
                }
            };
        }
        if matches!(stage, Stage::Present) {
            add_ancestors(inner, put, &mut dirs);
        }
    }
    if let Err(error) = sync_dirs(inner, &dirs) {
        // What is in place stays there, unacknowledged, and is found by the next attempt.
        fail(&mut stages, |stage| matches!(stage, Stage::Present), &error);
    }
    let answer = |(put, stage): (&Put, Stage)| match stage {
        Stage::Failed(error) => Err(inner.error("store", Some(&put.key), error)),
        Stage::Present | Stage::Written { .. } => Ok(Stored::default()),
    };
    puts.iter().zip(stages).map(answer).collect()
}

impl Wait {
    fn is_over(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// The file system, for a batch that is synced as a whole.
fn volume_for(inner: &Inner, puts: usize) -> io::Result<Option<File>> {
    (puts >= SYNCFS_FROM).then(|| File::open(&inner.root)).transpose()
}

fn fail(stages: &mut [Stage], which: impl Fn(&Stage) -> bool, error: &io::Error) {
    for stage in stages.iter_mut().filter(|stage| which(stage)) {
        if let Stage::Written { temp, .. } = stage {
            let _ = std::fs::remove_file(temp);
        }
        *stage = Stage::Failed(copy(error));
    }
}

/// The same error once more: the kernel tells of a failed sync only once, but all files of the batch are in doubt.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn write_all(inner: &Inner, puts: &[Put], together: bool) -> Vec<Stage> {
    let one = |put: &Put| write_one(inner, put, together).unwrap_or_else(Stage::Failed);
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

fn write_one(inner: &Inner, put: &Put, together: bool) -> io::Result<Stage> {
    let target = inner.path(&put.key);
    if !put.overwrite {
        match std::fs::metadata(&target) {
            Ok(_) => return same(&target, put).map(|()| Stage::Present),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if let Body::File { path, .. } = &put.body
        && let Some(temp) = link_alone(inner, path)
    {
        return Ok(Stage::Written { temp, wait: Wait::Done });
    }
    let (file, temp) = write_file(inner, put.body.bytes())?;
    Ok(Stage::Written { temp, wait: if together { Wait::Volume } else { Wait::File(file) } })
}

/// Accepts an object that is there already if it is byte for byte the one to store.
fn same(target: &Path, put: &Put) -> io::Result<()> {
    let bytes = put.body.bytes();
    if std::fs::metadata(target)?.len() == bytes.len() as u64 && std::fs::read(target)? == bytes[..] {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes are stored under this name"))
}

/// Links `source` to a temporary if that makes this store the only one to share its inode.
fn link_alone(inner: &Inner, source: &Path) -> Option<PathBuf> {
    let links = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.nlink());
    if links(source) != 1 {
        return None;
    }
    let ((), temp) = in_temp(inner, |temp| std::fs::hard_link(source, temp)).ok()?;
    // Another store may have linked it at the same moment: then neither keeps the link.
    if links(&temp) == 2 {
        return Some(temp);
    }
    let _ = std::fs::remove_file(temp);
    None
}

fn write_file(inner: &Inner, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let create = |temp: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp);
    let (mut file, temp) = in_temp(inner, create)?;
    file.write_all(bytes).inspect_err(|_| drop(std::fs::remove_file(&temp)))?;
    Ok((file, temp))
}

/// Makes a temporary under a name that is free. What a killed process left may bear any name, this process's number included:
/// in a container every process has the same one.
fn in_temp<T>(inner: &Inner, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let dir = inner.root.join(TEMP_DIR);
    let mut made = false;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temp = dir.join(format!("{}-{number}", std::process::id()));
        match make(&temp) {
            Ok(done) => return Ok((done, temp)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                make_dir(&dir)?;
                made = true;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One level only, so that a missing root stays missing.
fn make_dir(dir: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Moves a temporary to its name, making the directories on the way.
fn place(inner: &Inner, temp: &Path, put: &Put) -> io::Result<()> {
    let target = inner.path(&put.key);
    match rename(temp, &target, put.overwrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut dir = inner.root.clone();
            for component in Path::new(put.key.as_str()).parent().unwrap_or(Path::new("")) {
                dir.push(component);
                make_dir(&dir)?;
            }
            rename(temp, &target, put.overwrite)
        }
        other => other,
    }
    .or_else(|error| {
        if put.overwrite || error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        // Somebody else stored under this name since we looked.
        same(&target, put)?;
        std::fs::remove_file(temp)
    })
}

/// A rename that takes nobody's place unless told to. File systems that know no such rename (NFS, some FUSE ones) get a
/// link instead, which takes nobody's place either.
fn rename(temp: &Path, target: &Path, overwrite: bool) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if overwrite {
        return std::fs::rename(temp, target);
    }
    match renameat_with(CWD, temp, CWD, target, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(temp, target)?;
            std::fs::remove_file(temp)
        }
        other => Ok(other?),
    }
}

/// Every directory from an object's own up to the root: another put may have made one of them and not be done yet.
fn add_ancestors(inner: &Inner, put: &Put, dirs: &mut BTreeSet<PathBuf>) {
    let path = inner.path(&put.key);
    let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&inner.root));
    dirs.extend(above.map(Path::to_owned));
}

fn sync_files(volume: Option<&File>, stages: &[Stage]) -> io::Result<()> {
    let mut whole = false;
    for stage in stages {
        match stage {
            Stage::Written { wait: Wait::File(file), .. } => file.sync_data()?,
            Stage::Written { wait: Wait::Volume, .. } => whole = true,
            _ => {}
        }
    }
    match volume {
        Some(volume) if whole => Ok(rustix::fs::syncfs(volume)?),
        _ => Ok(()),
    }
}

fn sync_dirs(inner: &Inner, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
    if dirs.len() >= SYNCFS_FROM {
        return Ok(rustix::fs::syncfs(File::open(&inner.root)?)?);
    }
    dirs.iter().try_for_each(|dir| File::open(dir)?.sync_all())
}

/// Removes temporaries that have not changed since `before`. By change time, because a link keeps the time of what it links.
pub(super) fn sweep(inner: &Inner, before: Timestamp) -> io::Result<usize> {
    let entries = match std::fs::read_dir(inner.root.join(TEMP_DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && inner.root.is_dir() => return Ok(0),
        other => other?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        // Gone meanwhile, or not ours: a temporary is a plain file.
        let Ok(found) = entry.metadata() else { continue };
        let changed = found.ctime().saturating_mul(1_000_000).saturating_add(found.ctime_nsec() / 1_000);
        if found.is_file() && changed < before.as_micros() {
            std::fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}
