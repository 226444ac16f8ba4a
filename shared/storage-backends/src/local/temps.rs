//! Temporaries: where objects are written before they have their names.
//!
//! Each writer has a directory of its own below `tmp/`. Creating and renaming hold the lock of a directory, so that writers who
//! share one spend their time waiting for it. Rejected: writing beside the target, which measured no quicker and leaves what a killed
//! process wrote among the objects, where a sweep must look through all of them; and files without a name (`O_TMPFILE`), which stay
//! open until they are synced, several batches of 200 at once, where a process may by default open 1,024.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use n2s_domain::Timestamp;

use super::disk::Disk;

/// Below the root.
pub(super) const TEMP_DIR: &str = "tmp";
/// Writers beyond so many share directories.
const LANES: usize = 64;

/// Numbers temporaries, across all stores of a process: two may have the same root.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The temporaries of a store.
#[derive(Debug)]
pub(super) struct Temps {
    dir: PathBuf,
    process: u32,
    /// How many writers use each lane.
    lanes: Mutex<[u16; LANES]>,
}

/// A writer's directory; nobody else of this store writes there while it is held.
pub(super) struct Lane<'a> {
    temps: &'a Temps,
    number: usize,
    dir: PathBuf,
}

impl Temps {
    pub(super) fn new(root: &Path) -> Self {
        Self { dir: root.join(TEMP_DIR), process: std::process::id(), lanes: Mutex::new([0; LANES]) }
    }

    /// The least used lane, the first of them, so that a quiet store has one.
    pub(super) fn lane(&self) -> Lane<'_> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..LANES).min_by_key(|lane| lanes[*lane]).expect("there are lanes");
        lanes[number] = lanes[number].saturating_add(1);
        Lane { temps: self, number, dir: self.dir.join(number.to_string()) }
    }

    /// Removes what has not changed since `before`; says how many. The lanes stay.
    pub(super) fn sweep(&self, disk: &dyn Disk, before: Timestamp) -> io::Result<usize> {
        let mut swept = sweep_dir(disk, &self.dir, before)?;
        for lane in (0..LANES).map(|number| self.dir.join(number.to_string())) {
            swept += sweep_dir(disk, &lane, before)?;
        }
        Ok(swept)
    }
}

impl Lane<'_> {
    /// Makes a temporary under a name that is free. What a killed process left may bear any name, this process's number included:
    /// in a container every process has the same one.
    pub(super) fn make<T>(
        &self,
        disk: &dyn Disk,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(T, PathBuf)> {
        let mut made = false;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let temp = self.dir.join(format!("{}-{number}", self.temps.process));
            match make(&temp) {
                Ok(done) => return Ok((done, temp)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                    // One level at a time, so that a missing root stays missing.
                    disk.make_dir(&self.temps.dir)?;
                    disk.make_dir(&self.dir)?;
                    made = true;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut lanes = self.temps.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes[self.number] = lanes[self.number].saturating_sub(1);
    }
}

fn sweep_dir(disk: &dyn Disk, dir: &Path, before: Timestamp) -> io::Result<usize> {
    let entries = match std::fs::read_dir(dir) {
        // Nothing has been written here yet. A missing root is told by whoever asks for more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        // Gone meanwhile, or not ours: a temporary is a plain file.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_file() && changed(&found) < before {
            match disk.remove(&entry.path()) {
                Ok(()) => swept += 1,
                // Its writer was not dead.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(swept)
}

/// When a temporary last changed, its links included: a link keeps the modification time of what it links.
fn changed(found: &Metadata) -> Timestamp {
    let micros = found.ctime().saturating_mul(1_000_000).saturating_add(found.ctime_nsec() / 1_000);
    Timestamp::from_micros(micros)
}
