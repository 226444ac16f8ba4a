//! Writing a batch: temporaries, disk, renames, disk.
//!
//! What is to be synced is opened before it is written, directories before anything is named in them, and stays open until
//! then: the kernel tells of a failed write-back once, to those who had the file (or, for `syncfs`, the file system) open; who
//! opens it afterwards may be told all is well.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use n2s_failpoints::{Point, failpoint};
use n2s_storage::{Put, StorageError, Stored};

use super::Inner;
use super::disk;
use super::durable::{Dirs, Volume};
use super::link::{self, Linked};
use super::place::{place, same, with_dirs};
use super::temps::Lane;

/// Threads that write the temporaries of one batch.
const WRITERS: usize = 4;
/// Batches this small are not worth a thread.
const SPREAD_FROM: usize = 16;

/// A put on its way.
enum Stage {
    /// The very bytes are in place; nothing is left but to make sure that its directories are on the disk.
    Present,
    /// In a temporary file, or in its place already, where nobody looks yet.
    Written { temp: PathBuf, wait: Wait, overwrite: bool },
    /// Failed.
    Failed(io::Error),
}

/// What a temporary's bytes still wait for.
enum Wait {
    /// For a sync of this file.
    File(File),
    /// For a sync of the file system.
    Volume,
}

/// Stores a batch; see the module above.
pub(super) fn store(inner: &Inner, puts: &[Put]) -> Vec<Result<Stored, StorageError>> {
    by(inner, puts, go_through)
}

/// Stores a batch under names that nobody knows yet: no temporaries, and one sync for bytes and names.
pub(super) fn store_fresh(inner: &Inner, puts: &[Put]) -> Vec<Result<Stored, StorageError>> {
    by(inner, puts, go_straight)
}

fn by(
    inner: &Inner,
    puts: &[Put],
    way: fn(&Inner, &[Put], &Volume<'_>) -> Vec<Stage>,
) -> Vec<Result<Stored, StorageError>> {
    n2s_failpoints::put(&inner.name, puts.iter().map(|put| put.key.as_str()));
    let stages: Vec<_> = match Volume::open(inner) {
        Ok(volume) => {
            let share = volume.batch_max().min(puts.len()).max(1);
            puts.chunks(share).flat_map(|puts| way(inner, puts, &volume)).collect()
        }
        Err(error) => puts.iter().map(|_| Stage::Failed(copy(&error))).collect(),
    };
    let durable = puts.iter().zip(&stages).filter(|(_, stage)| matches!(stage, Stage::Present));
    n2s_failpoints::stored(&inner.name, durable.map(|(put, _)| put.key.as_str()));
    failpoint(Point::LocalDurable);
    let answer = |(put, stage): (&Put, Stage)| match stage {
        Stage::Failed(error) => Err(inner.error("store", Some(&put.key), error)),
        Stage::Present | Stage::Written { .. } => Ok(Stored::default()),
    };
    puts.iter().zip(stages).map(answer).collect()
}

fn go_through(inner: &Inner, puts: &[Put], volume: &Volume<'_>) -> Vec<Stage> {
    let dirs = Dirs::open(inner, puts);
    let together = volume.syncs_together(puts.len());
    let mut stages = write_all(puts, |part| {
        let lane = inner.temps.lane();
        let one = |put: &Put| write_one(inner, &lane, put, together).unwrap_or_else(Stage::Failed);
        part.iter().map(one).collect()
    });
    failpoint(Point::LocalWritten);
    if let Err(error) = sync_files(inner, volume, &stages) {
        fail(inner, &mut stages, |stage| matches!(stage, Stage::Written { .. }), &error);
    }
    failpoint(Point::LocalSynced);
    for (put, stage) in puts.iter().zip(&mut stages) {
        if let Stage::Written { temp, overwrite, .. } = stage {
            *stage = match place(inner, temp, put, *overwrite) {
                Ok(()) => Stage::Present,
                Err(error) => {
                    // The temporary is ours; the error that matters is the first.
                    let _ = inner.disk.remove(temp);
                    Stage::Failed(error)
                }
            };
        }
    }
    if stages.iter().any(|stage| matches!(stage, Stage::Present))
        && let Err(error) = dirs.sync(inner, volume)
    {
        // What is in place stays there, unacknowledged, and is found by the next attempt.
        fail(inner, &mut stages, |stage| matches!(stage, Stage::Present), &error);
    }
    stages
}

fn go_straight(inner: &Inner, puts: &[Put], volume: &Volume<'_>) -> Vec<Stage> {
    let dirs = Dirs::open(inner, puts);
    let together = volume.syncs_together(puts.len());
    let one = |put: &Put| write_in_place(inner, put, together).unwrap_or_else(Stage::Failed);
    let mut stages = write_all(puts, |part| part.iter().map(one).collect());
    failpoint(Point::StagingWritten);
    let written = |stage: &Stage| matches!(stage, Stage::Written { .. });
    let synced = sync_files(inner, volume, &stages);
    // The sync of the whole has the names, too.
    let synced = synced.and_then(|()| if together { Ok(()) } else { dirs.sync(inner, volume) });
    match synced {
        Ok(()) => stages.iter_mut().filter(|stage| written(stage)).for_each(|stage| *stage = Stage::Present),
        Err(error) => fail(inner, &mut stages, written, &error),
    }
    stages
}

fn write_in_place(inner: &Inner, put: &Put, together: bool) -> io::Result<Stage> {
    let target = inner.path(&put.key);
    let mut file = with_dirs(inner, put, || inner.disk.create(&target))?;
    disk::write_all(&*inner.disk, &mut file, put.body.bytes())
        .inspect_err(|_| drop(inner.disk.remove(&target)))?;
    let wait = if together { Wait::Volume } else { Wait::File(file) };
    Ok(Stage::Written { temp: target, wait, overwrite: false })
}

fn fail(inner: &Inner, stages: &mut [Stage], which: impl Fn(&Stage) -> bool, error: &io::Error) {
    for stage in stages.iter_mut().filter(|stage| which(stage)) {
        if let Stage::Written { temp, .. } = stage {
            let _ = inner.disk.remove(temp);
        }
        *stage = Stage::Failed(copy(error));
    }
}

/// The same error once more: the kernel tells of a failed sync only once, but all files of the batch are in doubt.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Spreads a batch over threads.
fn write_all(puts: &[Put], share: impl Fn(&[Put]) -> Vec<Stage> + Sync) -> Vec<Stage> {
    if puts.len() < SPREAD_FROM {
        return share(puts);
    }
    std::thread::scope(|scope| {
        let share = &share;
        let parts = puts.chunks(puts.len().div_ceil(WRITERS)).map(|part| scope.spawn(move || share(part)));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().expect("writing does not panic")).collect()
    })
}

fn write_one(inner: &Inner, lane: &Lane<'_>, put: &Put, together: bool) -> io::Result<Stage> {
    let target = inner.path(&put.key);
    let mut overwrite = put.overwrite;
    if !overwrite {
        // The rename would tell, too, but only after the bytes are written: this is cheap, and what a batch that is sent again costs.
        match std::fs::metadata(&target) {
            Ok(found) => {
                same(&target, put)?;
                if !link::is_shared(&found, &put.body) {
                    return Ok(Stage::Present);
                }
                overwrite = true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match link::link_alone(inner, put, &target)? {
                    Linked::Alone => return Ok(Stage::Present),
                    Linked::Shared => overwrite = true,
                    Linked::No => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
    let (file, temp) = write_file(inner, lane, put.body.bytes())?;
    let wait = if together { Wait::Volume } else { Wait::File(file) };
    Ok(Stage::Written { temp, wait, overwrite })
}

fn write_file(inner: &Inner, lane: &Lane<'_>, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let disk = &*inner.disk;
    let (mut file, temp) = lane.make(disk, |temp| disk.create(temp))?;
    disk::write_all(disk, &mut file, bytes).inspect_err(|_| drop(disk.remove(&temp)))?;
    Ok((file, temp))
}

fn sync_files(inner: &Inner, volume: &Volume<'_>, stages: &[Stage]) -> io::Result<()> {
    let mut whole = false;
    for stage in stages {
        match stage {
            Stage::Written { wait: Wait::File(file), .. } => inner.disk.sync(file)?,
            Stage::Written { wait: Wait::Volume, .. } => whole = true,
            _ => {}
        }
    }
    if whole { volume.sync() } else { Ok(()) }
}
