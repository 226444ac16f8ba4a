//! Each step of a write fails, and the store tells the truth about it. Here is the disk that fails as a test scripts it.

mod delays;
mod every_step;
mod links;
mod steps;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use n2s_domain::{FailureKind, SealedHash};
use n2s_storage::{Body, Put, StorageError, StorageExt as _, layout};
use rustix::io::Errno;
use tempfile::TempDir;

use super::LocalStore;
use super::disk::{Disk, Kernel};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Write,
    MakeDir,
    OpenDir,
    Link,
    Rename,
    Sync,
    SyncVolume,
    /// To be asked whether it can be synced as a whole: a fault means no.
    Trust,
}

enum Fault {
    Error(Errno),
    /// A write takes at most so many bytes.
    Short(usize),
    /// A sync is said to be done, where a test reads off the steps what it would have done.
    Skipped,
    /// The step does not begin before the other end is dropped, as on a disk that hangs.
    Wait(mpsc::Receiver<()>),
}

type Script = Box<dyn FnMut(Step, &Path) -> Option<Fault> + Send>;

/// The kernel, with faults as a test scripts them.
#[derive(Clone)]
struct Failing(Arc<Mutex<Script>>);

impl std::fmt::Debug for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failing")
    }
}

impl Failing {
    fn script(&self, script: impl FnMut(Step, &Path) -> Option<Fault> + Send + 'static) {
        *self.0.lock().unwrap() = Box::new(script);
    }

    fn at(&self, step: Step, path: &Path) -> io::Result<usize> {
        let fault = (self.0.lock().unwrap())(step, path);
        match fault {
            Some(Fault::Wait(gate)) => {
                let _ = gate.recv();
                Ok(usize::MAX)
            }
            None => Ok(usize::MAX),
            Some(Fault::Short(bytes)) => Ok(bytes),
            Some(Fault::Skipped) => Ok(0),
            Some(Fault::Error(errno)) => Err(errno.into()),
        }
    }
}

fn path_of(file: &File) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.at(Step::Create, path)?;
        Kernel.create(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        let most = self.at(Step::Write, &path_of(file))?;
        Kernel.write(file, &bytes[..bytes.len().min(most)])
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.at(Step::MakeDir, path)?;
        Kernel.make_dir(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<File> {
        self.at(Step::OpenDir, path)?;
        Kernel.open_dir(path)
    }

    fn link(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.at(Step::Link, target)?;
        Kernel.link(source, target)
    }

    fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
        self.at(Step::Rename, to)?;
        Kernel.rename(from, to, overwrite)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Kernel.remove(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let skipped = self.at(Step::Sync, &path_of(file))? == 0;
        if skipped { Ok(()) } else { Kernel.sync(file) }
    }

    fn syncs_volumes(&self, volume: &File) -> io::Result<bool> {
        Ok(self.at(Step::Trust, &path_of(volume)).is_ok() && Kernel.syncs_volumes(volume)?)
    }

    fn sync_volume(&self, volume: &File) -> io::Result<()> {
        let skipped = self.at(Step::SyncVolume, &path_of(volume))? == 0;
        if skipped { Ok(()) } else { Kernel.sync_volume(volume) }
    }
}

fn open() -> (LocalStore, Failing, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    LocalStore::create_root(&root).unwrap();
    let disk = Failing(Arc::new(Mutex::new(Box::new(|_, _| None))));
    (LocalStore::on("disk", root, Box::new(disk.clone())), disk, dir)
}

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

/// Batches on either side of every threshold: synced one by one, together, written by several threads.
fn batches() -> [Vec<Put>; 3] {
    [1, 8, 50].map(|count| (0..count).map(|n: u8| put(&[n; 1000])).collect())
}

/// Every file of the store, temporaries included.
fn files(store: &LocalStore) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), found);
            } else {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(&store.0.root, &mut found);
    found
}

async fn all_there(store: &LocalStore, puts: &[Put]) {
    for put in puts {
        assert_eq!(&store.get(put.key.clone()).await.unwrap(), put.body.bytes());
    }
    assert_eq!(files(store).len(), puts.len(), "something else was left behind");
}

fn kinds<T>(answers: &[Result<T, StorageError>]) -> Vec<Option<FailureKind>> {
    answers.iter().map(|answer| answer.as_ref().err().map(|error| error.kind)).collect()
}
