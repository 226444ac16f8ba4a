//! Each step of a write fails, and the store tells the truth about it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use n2s_domain::{Clock as _, FailureKind, SealedHash, SystemClock, Timestamp};
use n2s_storage::{Body, Put, Staging, StagingKey, Storage as _, StorageError, StorageExt as _, layout};
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
}

enum Fault {
    Error(Errno),
    /// A write takes at most so many bytes.
    Short(usize),
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
        match (self.0.lock().unwrap())(step, path) {
            None => Ok(usize::MAX),
            Some(Fault::Short(bytes)) => Ok(bytes),
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
        self.at(Step::Sync, &path_of(file))?;
        Kernel.sync(file)
    }

    fn sync_volume(&self, volume: &File) -> io::Result<()> {
        self.at(Step::SyncVolume, &path_of(volume))?;
        Kernel.sync_volume(volume)
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

#[tokio::test]
async fn short_writes_are_continued() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        disk.script(|step, _| (step == Step::Write).then_some(Fault::Short(7)));
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn a_failed_write_fails_one_object_alone_and_leaves_nothing() {
    let faults = [
        (Step::Create, Errno::IO),
        (Step::Create, Errno::MFILE),
        (Step::Write, Errno::IO),
        (Step::Write, Errno::NOSPC),
        (Step::Rename, Errno::IO),
        (Step::Rename, Errno::NOSPC),
    ];
    for puts in batches() {
        for (failing, errno) in faults {
            let (store, disk, _dir) = open();
            let mut passed = 0;
            disk.script(move |step, _| {
                passed += u32::from(step == failing);
                (step == failing && passed == 1).then_some(Fault::Error(errno))
            });
            let answers = store.store(puts.clone()).await;
            let failed: Vec<_> = kinds(&answers).into_iter().flatten().collect();
            assert_eq!(failed, [FailureKind::Unavailable], "{failing:?} {errno:?}");
            assert_eq!(files(&store).len(), puts.len() - 1, "{failing:?} left something");
            assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
            all_there(&store, &puts).await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more_is_not_waited_for() {
    let (store, disk, _dir) = open();
    disk.script(|step, _| (step == Step::Write).then_some(Fault::Short(0)));
    let error = store.put(put(b"x")).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable, "{}", error.report());
    assert!(files(&store).is_empty());
}

#[tokio::test]
async fn bytes_that_could_not_be_synced_are_neither_acknowledged_nor_kept() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        // The kernel tells once.
        let mut told = false;
        disk.script(move |step, path| {
            let waited_for = step == Step::SyncVolume || (step == Step::Sync && path.is_file());
            let tell = waited_for && !std::mem::replace(&mut told, true);
            tell.then_some(Fault::Error(Errno::IO))
        });
        let answers = store.store(puts.clone()).await;
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        assert!(files(&store).is_empty(), "bytes in doubt were kept");
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn names_that_could_not_be_synced_are_not_acknowledged_however_often_it_is_tried() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        disk.script(|step, path| {
            // Of each batch the bytes pass and the names fail; a second attempt has only names left.
            let names = match step {
                Step::Sync => path.is_dir(),
                Step::SyncVolume => path.join("blobs").is_dir() && has_objects(path),
                _ => false,
            };
            names.then_some(Fault::Error(Errno::IO))
        });
        for _ in 0..2 {
            let answers = store.store(puts.clone()).await;
            assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        }
        disk.script(|_, _| None);
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

fn has_objects(root: &Path) -> bool {
    let dirs = std::fs::read_dir(root.join("blobs")).unwrap();
    dirs.map(|dir| dir.unwrap().path()).any(|dir| std::fs::read_dir(dir).unwrap().next().is_some())
}

#[tokio::test]
async fn directories_are_opened_before_anything_is_named_in_them() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&steps);
        disk.script(move |step, _| {
            seen.lock().unwrap().push(step);
            None
        });
        assert!(store.store(puts).await.iter().all(Result::is_ok));
        let steps = steps.lock().unwrap();
        let first = steps.iter().position(|step| *step == Step::Rename).unwrap();
        let opened = steps.iter().rposition(|step| *step == Step::OpenDir).unwrap();
        assert!(opened < first, "{steps:?}");
    }
}

#[tokio::test]
async fn a_directory_that_vanishes_is_made_again_and_the_new_one_synced() {
    let (store, disk, dir) = open();
    let root = dir.path().join("store");
    let blob = put(b"x");
    let own = root.join(blob.key.as_str()).parent().unwrap().to_owned();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let mut there = true;
    disk.script(move |step, path| {
        if step == Step::Rename && std::mem::take(&mut there) {
            std::fs::remove_dir(&own).unwrap();
        }
        if matches!(step, Step::Sync | Step::SyncVolume) {
            seen.lock().unwrap().push((step, path.to_owned()));
        }
        None
    });
    store.put(blob.clone()).await.unwrap();
    assert!(synced.lock().unwrap().contains(&(Step::SyncVolume, root)), "{synced:?}");
    all_there(&store, &[blob]).await;
}

#[tokio::test]
async fn a_root_that_vanishes_is_not_made_again() {
    for puts in batches() {
        for vanishes_at in [Step::Create, Step::Rename] {
            let (store, disk, dir) = open();
            let (root, away) = (dir.path().join("store"), dir.path().join("away"));
            disk.script(move |step, _| {
                if step == vanishes_at && root.exists() {
                    std::fs::rename(&root, &away).unwrap();
                }
                None
            });
            let answers = store.store(puts.clone()).await;
            assert_eq!(
                kinds(&answers),
                vec![Some(FailureKind::Misconfigured); puts.len()],
                "{vanishes_at:?}"
            );
            assert!(!dir.path().join("store").exists());
        }
    }
}

#[tokio::test]
async fn a_link_that_fails_is_written_instead() {
    let (store, disk, dir) = open();
    let home = dir.path().join("home");
    LocalStore::create_root(&home).unwrap();
    let staging = Staging::new(Arc::new(LocalStore::new("staging", home)));
    let blob = put(b"blob");
    let key = StagingKey { sealed_hash: blob.digest, id: 1 };
    staging.put(vec![(key, blob.body.bytes().clone())]).await.remove(0).unwrap();
    let body = staging.get(&[key]).await.remove(0).unwrap();
    for errno in [Errno::XDEV, Errno::PERM, Errno::MLINK] {
        disk.script(move |step, _| (step == Step::Link).then_some(Fault::Error(errno)));
        store.put(Put { body: body.clone(), ..blob.clone() }).await.unwrap();
        all_there(&store, std::slice::from_ref(&blob)).await;
        store.delete(std::slice::from_ref(&blob.key)).await.remove(0).unwrap();
    }
}

#[tokio::test]
async fn a_link_shared_with_another_store_is_replaced_when_the_put_is_tried_again() {
    use std::os::unix::fs::MetadataExt as _;
    let (store, disk, dir) = open();
    let home = dir.path().join("home");
    LocalStore::create_root(&home).unwrap();
    let staging = Staging::new(Arc::new(LocalStore::new("staging", home)));
    let blob = put(b"blob");
    let key = StagingKey { sealed_hash: blob.digest, id: 1 };
    staging.put(vec![(key, blob.body.bytes().clone())]).await.remove(0).unwrap();
    let body = staging.get(&[key]).await.remove(0).unwrap();
    let Body::File { path, .. } = body.clone() else { panic!("staging on a disk offers no file") };
    // Another store links the same file at the same moment, and then this one cannot write.
    let other = dir.path().join("other");
    disk.script({
        let (path, other) = (path.clone(), other.clone());
        move |step, _| {
            if step == Step::Link {
                std::fs::hard_link(&path, &other).unwrap();
            }
            (step == Step::Create).then_some(Fault::Error(Errno::NOSPC))
        }
    });
    store.put(Put { body: body.clone(), ..blob.clone() }).await.unwrap_err();
    disk.script(|_, _| None);
    store.put(Put { body, ..blob.clone() }).await.unwrap();
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let stored = store.local_path(&blob.key).unwrap();
    assert_ne!(inode(&stored), inode(&other), "two copies on one inode are one copy");
    all_there(&store, &[blob]).await;
}

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_clock_that_jumps_back_a_day_sweeps_nothing_and_ahead_costs_an_attempt() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let swept = Arc::new(Mutex::new(Vec::new()));
        let (seen, sweeper) = (Arc::clone(&swept), store.clone());
        let mut jumped = false;
        disk.script(move |step, path| {
            // While the temporaries are there: the sweeper's hour, by a clock a day behind and then a day ahead.
            if (step == Step::SyncVolume || (step == Step::Sync && path.is_file()))
                && !std::mem::replace(&mut jumped, true)
            {
                let hour = 3_600_000_000;
                let day = i64::try_from(DAY.as_micros()).unwrap();
                for jump in [-day, day] {
                    let before = Timestamp::from_micros(SystemClock.now().as_micros() + jump - hour);
                    seen.lock().unwrap().push(sweeper.0.temps.sweep(&Kernel, before).unwrap());
                }
            }
            None
        });
        let answers = store.store(puts.clone()).await;
        assert_eq!(*swept.lock().unwrap(), [0, puts.len()]);
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}
