//! A directory on a disk.
//!
//! An object is written to `tmp/` on the same file system, made durable, renamed into place, and its directory is made durable,
//! before it is acknowledged. A batch shares these steps: all temporaries, one wait for the disk, all renames, one wait.
//!
//! Staged bytes that lie on the same file system are linked instead of written again, but only into one store: two stores that
//! shared an inode would be damaged together, and would not be two copies. Rejected: linking into every store, which makes
//! the second local copy free and worthless. For the same reason nothing is reflinked (or copied by `copy_file_range`, which reflinks
//! where it can): clones share their extents on the disk, and no count tells how many stores hold one already.
//!
//! The root is never created here. A root that is missing is a disk that is not mounted; see [`LocalStore::create_root`].

mod diagnose;
mod disk;
mod durable;
#[cfg(test)]
mod faults;
mod link;
mod place;
mod read;
mod temps;
mod trust;
mod url;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use n2s_domain::{FailureKind, SealedHash, Timestamp};
use n2s_storage::{
    Body, Get, Listed, ObjectKey, Put, Stat, Storage, StorageError, StorageExt as _, Stored, layout,
};
use tokio::sync::Semaphore;

/// Operations of one store at a time. A thread that waits for a disk cannot be stopped: a disk that has died must not take all
/// the threads the process has for waiting, and with them every other store.
const OPERATIONS: usize = 32;
/// With less than this left, in bytes, a disk counts as full.
const ROOM_MIN: u64 = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct LocalStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    root: PathBuf,
    temps: temps::Temps,
    disk: Box<dyn disk::Disk>,
    /// A permit is held by the thread that works, and outlives a caller who has given up.
    turns: Arc<Semaphore>,
}

impl LocalStore {
    /// A store at `root`, which need not be there yet: each operation finds out.
    pub fn new(name: &str, root: impl Into<PathBuf>) -> Self {
        Self::on(name, root.into(), Box::new(disk::Kernel))
    }

    fn on(name: &str, root: PathBuf, disk: Box<dyn disk::Disk>) -> Self {
        let temps = temps::Temps::new(&root);
        let turns = Arc::new(Semaphore::new(OPERATIONS));
        Self(Arc::new(Inner { name: name.into(), root, temps, disk, turns }))
    }

    /// Makes a root directory, private to its owner, for a store that is being added. One that is there is left as it is.
    pub fn create_root(root: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root)
    }

    /// Removes the temporaries that killed processes left, unless they changed after `before`; says how many. Choose `before`
    /// well past the longest write.
    pub async fn sweep_temps(&self, before: Timestamp) -> Result<usize, StorageError> {
        let sweep = move |inner: &Inner| {
            // A store that cannot be reached has no temporaries to be seen, which is not the same as having none.
            let swept = inner.disk.open_dir(&inner.root);
            let swept = swept.and_then(|_| inner.temps.sweep(&*inner.disk, before));
            swept.map_err(|error| inner.error("sweep", None, error))
        };
        self.blocking(sweep).await
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> T {
        let inner = Arc::clone(&self.0);
        let turn = Arc::clone(&inner.turns).acquire_owned().await.expect("nobody closes it");
        let work = move || {
            let _turn = turn;
            work(&inner)
        };
        tokio::task::spawn_blocking(work).await.expect("the file system code does not panic")
    }
}

impl Inner {
    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn error(&self, op: &'static str, key: Option<&ObjectKey>, error: io::Error) -> StorageError {
        let (kind, advice) = diagnose::diagnose(&self.root, op, &error);
        let source = match advice {
            Some(advice) => anyhow::Error::new(error).context(advice),
            None => anyhow::Error::new(error),
        };
        StorageError {
            kind,
            op,
            backend: Arc::clone(&self.name),
            key: key.cloned(),
            retry_after: None,
            source,
        }
    }
}

impl Inner {
    /// A probe fits on a disk that is as good as full; nothing else does.
    fn has_room(&self) -> io::Result<()> {
        let found = rustix::fs::statvfs(&self.root)?;
        let room = found.f_bavail.saturating_mul(found.f_frsize);
        if room < ROOM_MIN { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[async_trait]
impl Storage for LocalStore {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.blocking(move |inner| write::store(inner, &puts)).await
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.blocking(move |inner| write::store_fresh(inner, &puts)).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let read = |inner: &Inner, get: &Get| {
            read::read(&inner.path(&get.key), get.range.clone())
                .map_err(|error| inner.error("retrieve", Some(&get.key), error))
        };
        self.blocking(move |inner| gets.iter().map(|get| read(inner, get)).collect()).await
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let keys = keys.to_vec();
        let stat = |inner: &Inner, key: &ObjectKey| match std::fs::metadata(inner.path(key)) {
            Ok(found) => Ok(Some(Stat { size: found.len() })),
            Err(error) => match inner.error("stat", Some(key), error) {
                absent if absent.kind == FailureKind::NotFound => Ok(None),
                other => Err(other),
            },
        };
        self.blocking(move |inner| keys.iter().map(|key| stat(inner, key)).collect()).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let keys = keys.to_vec();
        let delete = |inner: &Inner, key: &ObjectKey| match inner.disk.remove(&inner.path(key)) {
            Ok(()) => Ok(()),
            Err(error) => match inner.error("delete", Some(key), error) {
                absent if absent.kind == FailureKind::NotFound => Ok(()),
                other => Err(other),
            },
        };
        self.blocking(move |inner| keys.iter().map(|key| delete(inner, key)).collect()).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        let lister = read::Lister::new(self.0.root.clone(), prefix);
        let next = move |lister: read::Lister| async move {
            let (answer, lister) = self.blocking(move |_| lister.next_directory()).await;
            match answer {
                None => None,
                Some(Ok(listed)) => {
                    Some((stream::iter(listed.into_iter().map(Ok).collect::<Vec<_>>()), lister))
                }
                Some(Err(error)) => {
                    Some((stream::iter(vec![Err(self.0.error("list", None, error))]), lister))
                }
            }
        };
        stream::unfold(lister, next).flatten().boxed()
    }

    async fn health(&self) -> Result<(), StorageError> {
        const PROBE: &[u8] = b"n2s probe\n";
        let body = Body::Bytes(Bytes::from_static(PROBE));
        let digest = SealedHash(*blake3::hash(PROBE).as_bytes());
        self.put(Put { key: layout::probe(), body, digest, overwrite: true }).await?;
        if self.get(layout::probe()).await? != PROBE {
            return Err(self.0.error("health", Some(&layout::probe()), io::ErrorKind::InvalidData.into()));
        }
        self.blocking(|inner| inner.has_room().map_err(|error| inner.error("health", None, error))).await
    }

    fn url(&self, key: &ObjectKey) -> Option<String> {
        std::path::absolute(self.0.path(key)).ok().map(|path| url::of(&path))
    }

    fn local_path(&self, key: &ObjectKey) -> Option<PathBuf> {
        Some(self.0.path(key))
    }

    async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        self.sweep_temps(before).await
    }
}
