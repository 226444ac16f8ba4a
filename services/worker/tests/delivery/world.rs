//! A whole engine over a real database, a real staging folder and two real local stores that fail when told to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use n2s_catalog::*;
use n2s_catalog_sqlite::SqliteCatalog;
use n2s_dispatcher::*;
use n2s_domain::backoff::RetryPolicy;
use n2s_domain::*;
use n2s_queue::{Bell, Consumer, Delivery, EmbeddedQueue, Message, Queue, QueueError};
use n2s_storage::testing::Faulty;
use n2s_storage::{ObjectKey, Staging, StagingKey, Storage, StorageExt as _, layout};
use n2s_storage_backends::LocalStore;
use n2s_worker::*;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const VAULT: VaultId = VaultId(*b"vaultAAA");
const BOUND: Duration = Duration::from_secs(30);

pub struct World {
    pub dir: tempfile::TempDir,
    pub catalog: Arc<dyn Catalog>,
    pub queue: Arc<EmbeddedQueue>,
    pub staging: Staging,
    pub bell: Bell,
    pub stores: Vec<Arc<Faulty>>,
    pub ids: Vec<BackendId>,
    /// Consumers of the first store's queue.
    pub consumers: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
    next_id: std::sync::atomic::AtomicI64,
}

/// The queue, and how many consume from the first store's.
#[derive(Debug)]
struct Counting(Arc<EmbeddedQueue>, Arc<AtomicUsize>);

#[derive(Debug)]
struct Counted(Box<dyn Consumer>, Option<Arc<AtomicUsize>>);

#[async_trait]
impl Queue for Counting {
    async fn publish(&self, backend: &BackendName, messages: Vec<Message>) -> Vec<Result<(), QueueError>> {
        self.0.publish(backend, messages).await
    }

    async fn consume(&self, backend: &BackendName, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let counted = (*backend == name(0)).then(|| self.1.clone());
        if let Some(count) = &counted {
            count.fetch_add(1, SeqCst);
        }
        Ok(Box::new(Counted(self.0.consume(backend, prefetch).await?, counted)))
    }
}

#[async_trait]
impl Consumer for Counted {
    async fn next(&mut self, max: usize, gather: Duration) -> Option<Result<Vec<Delivery>, QueueError>> {
        self.0.next(max, gather).await
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = &self.1 {
            count.fetch_sub(1, SeqCst);
        }
    }
}

pub struct Engine {
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// A committed push.
pub struct Pushed {
    pub changeset: ChangesetId,
    pub version: Version,
    pub hashes: Vec<SealedHash>,
}

pub fn sealed(bytes: &[u8]) -> SealedHash {
    SealedHash(*blake3::hash(bytes).as_bytes())
}

pub fn name(index: usize) -> BackendName {
    format!("disk{index}").parse().unwrap()
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let catalog =
            SqliteCatalog::open(&dir.path().join("catalog.db"), clock.clone(), entropy).await.unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let local = |name: &str| -> Arc<dyn Storage> {
            let root = dir.path().join(name);
            LocalStore::create_root(&root).unwrap();
            Arc::new(LocalStore::new(name, root))
        };
        let staging = Staging::new(local("staging"));
        let stores = (0..2).map(|i| Arc::new(Faulty::new(local(name(i).as_str())))).collect();
        let configured: Vec<_> = (0..2).map(|i| (name(i), "local".to_owned())).collect();
        let rows = catalog.ensure_backends(&configured).await.unwrap();
        let epochs = vec![(Epoch(1), b"wrapped epoch one".to_vec())];
        let objects = VaultObjects { vault: VAULT, marker: b"the marker of vault A".to_vec(), epochs };
        catalog.register_vault(&objects).await.unwrap();
        let ids = rows.iter().map(|row| row.id).collect();
        let (queue, bell) = (Arc::new(EmbeddedQueue::new(20_000)), Bell::new());
        Self {
            dir,
            catalog,
            queue,
            staging,
            bell,
            stores,
            ids,
            consumers: Arc::default(),
            clock,
            next_id: 1.into(),
        }
    }

    /// Starts dispatcher, folder, sweeper and worker.
    pub fn start(&self) -> Engine {
        self.start_with(|_| {})
    }

    pub fn start_with(&self, adjust: impl FnOnce(&mut WorkerSettings)) -> Engine {
        let shutdown = CancellationToken::new();
        let mut settings = WorkerSettings::new("test");
        settings.probe_every = Duration::from_millis(200);
        adjust(&mut settings);
        let dispatcher = Dispatcher::new(
            DispatcherDeps {
                catalog: self.catalog.clone(),
                queue: self.queue.clone(),
                bell: self.bell.clone(),
                backends: self.ids.iter().enumerate().map(|(i, id)| (*id, name(i))).collect(),
            },
            DispatcherSettings::default(),
        );
        let folder = Folder::new(self.catalog.clone(), self.bell.clone());
        let sweeper = Sweeper::new(self.sweeper_deps(), SweeperSettings::default());
        let worker = Worker::new(self.worker_deps(), settings);
        let tasks = vec![
            tokio::spawn(dispatcher.run(shutdown.clone())),
            tokio::spawn(folder.run(shutdown.clone())),
            tokio::spawn(sweeper.run(shutdown.clone())),
            tokio::spawn(worker.run(shutdown.clone())),
        ];
        Engine { shutdown, tasks }
    }

    /// Claims everything due on a store, with leases that have lapsed.
    pub async fn claim_lapsed(&self, store: usize) -> u64 {
        let id = self.ids[store];
        let due = self.catalog.due_groups(id, 1_000).await.unwrap();
        let picks: Vec<_> =
            due.iter().map(|group| Pick { changeset: group.changeset, limit: group.due }).collect();
        let tickets = self.catalog.dispatch(id, &picks, Duration::from_mins(1)).await.unwrap();
        let (worker, lease) = ("gone".to_owned(), Duration::ZERO);
        let terms = LeaseTerms { worker, lease, held_max: Duration::from_hours(1) };
        self.catalog.claim(id, &tickets, &terms).await.unwrap().len() as u64
    }

    /// What the first store has, after a new sweeper's first round.
    pub async fn sweep_once(&self, lease: Duration) -> Depth {
        let stray = StagingKey { sealed_hash: sealed(b"stray"), id: 7 };
        self.staging.put(vec![(stray, Bytes::from_static(b"stray"))]).await.pop().unwrap().unwrap();
        let stop = CancellationToken::new();
        let settings = SweeperSettings { lease, staging_grace: Duration::ZERO, ..SweeperSettings::default() };
        let sweeping = tokio::spawn(Sweeper::new(self.sweeper_deps(), settings).run(stop.clone()));
        // Orphans come last in a round.
        let gone = async || self.staging.get(&[stray]).await.pop().unwrap().is_err();
        self.until("the round has ended", gone).await;
        stop.cancel();
        sweeping.await.unwrap();
        let depths = self.catalog.depths().await.unwrap();
        depths.into_iter().find(|(of, _)| *of == self.ids[0]).map(|(_, depth)| depth).unwrap_or_default()
    }

    pub fn sweeper_deps(&self) -> SweeperDeps {
        SweeperDeps {
            catalog: self.catalog.clone(),
            staging: self.staging.clone(),
            bell: self.bell.clone(),
            clock: self.clock.clone(),
        }
    }

    fn worker_deps(&self) -> WorkerDeps {
        let retry =
            RetryPolicy { attempts_max: 3, base: Duration::from_millis(1), cap: Duration::from_millis(20) };
        let store = |(i, id): (usize, &BackendId)| StoreDeps {
            id: *id,
            name: name(i),
            kind: "local".to_owned(),
            storage: self.stores[i].clone(),
            retry,
            concurrency: (4, 64),
            batch: 1,
        };
        WorkerDeps {
            catalog: self.catalog.clone(),
            queue: Arc::new(Counting(self.queue.clone(), self.consumers.clone())),
            staging: self.staging.clone(),
            bell: self.bell.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            stores: self.ids.iter().enumerate().map(store).collect(),
            sources: Vec::new(),
        }
    }

    async fn stage(&self, bytes: &[u8]) -> StagedKey {
        self.stage_all(vec![bytes.to_vec()]).await[0]
    }

    /// In one call, so that a thousand cost one wait for the disk.
    async fn stage_all(&self, objects: Vec<Vec<u8>>) -> Vec<StagedKey> {
        let key = |bytes: &Vec<u8>| {
            let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            StagedKey { sealed_hash: sealed(bytes), id }
        };
        let keys: Vec<_> = objects.iter().map(key).collect();
        let named = |key: &StagedKey| StagingKey { sealed_hash: key.sealed_hash, id: key.id };
        let puts = keys.iter().map(named).zip(objects.into_iter().map(Bytes::from)).collect();
        self.staging.put(puts).await.into_iter().for_each(|put| put.unwrap());
        keys
    }

    /// Pushes `files` blobs of a dataset to both stores, and commits.
    pub async fn push(&self, dataset: &str, files: usize) -> Pushed {
        let open = OpenPush {
            changeset: ChangesetId::new(&SystemClock, &SystemEntropy),
            token: LeaseToken::new(&SystemEntropy),
            project: "p".parse().unwrap(),
            dataset: dataset.parse().unwrap(),
            vault: VAULT,
            store_key: StoreKey(*blake3::hash(dataset.as_bytes()).as_bytes()),
            snapshot: None,
            description: None,
            client_id: "test".to_owned(),
            metadata: BTreeMap::new(),
            backends: vec![name(0), name(1)],
            min_copies: None,
            take_over: TakeOver::IfLapsed,
            lease: Duration::from_mins(1),
        };
        let opened = self.catalog.open_push(&open).await.unwrap();
        let (mut blobs, mut changes) = (Vec::new(), Vec::new());
        let contents: Vec<_> = (0..files).map(|n| format!("{dataset} {n}")).collect();
        let sealed = contents.iter().map(|content| format!("sealed {content}").into_bytes()).collect();
        for ((n, content), staged) in contents.iter().enumerate().zip(self.stage_all(sealed).await) {
            let hash = ContentHash(*blake3::hash(content.as_bytes()).as_bytes());
            let size = content.len() as u64;
            let encrypted_size = size + 7;
            blobs.push(StagedBlob { content_hash: hash, size, encrypted_size, epoch: Epoch(1), staged });
            changes.push(EntryChange::Put(FileEntry {
                path: RelPath::new(format!("f{n}")).unwrap(),
                meta: FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } },
                content: Content::File {
                    size,
                    hash,
                    chunks: vec![ChunkRef { hash, offset: 0, size: u32::try_from(size).unwrap() }],
                },
                link_group: None,
            }));
        }
        self.catalog.record_staged(&opened.lease, &blobs).await.unwrap();
        self.catalog.record_entries(&opened.lease, 1, &changes).await.unwrap();
        let header = format!("header of {dataset} {}", opened.version);
        let body = format!("body of {dataset} {}", opened.version);
        let commit = CommitPush {
            batches: 1,
            header: StagedObject { staged: self.stage(header.as_bytes()).await, size: header.len() as u64 },
            body: StagedObject { staged: self.stage(body.as_bytes()).await, size: body.len() as u64 },
        };
        self.catalog.commit_push(&opened.lease, &commit).await.unwrap();
        self.bell.ring();
        Pushed {
            changeset: opened.lease.changeset,
            version: opened.version,
            hashes: blobs.iter().map(|blob| blob.staged.sealed_hash).collect(),
        }
    }

    /// Waits until a condition holds; says what it waited for when it never does.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        let give_up = tokio::time::Instant::now() + BOUND;
        while !holds().await {
            let state = self.catalog.backends().await;
            assert!(tokio::time::Instant::now() < give_up, "never: {what}; {state:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn until_status(&self, pushed: &Pushed, status: ChangesetStatus) {
        let reached = || async { self.catalog.changeset(pushed.changeset).await.unwrap().status == status };
        self.until(&format!("{status:?}"), reached).await;
    }

    /// Placements of a store: pending, completed, failed.
    pub async fn tally(&self, store: usize) -> (u64, u64, u64) {
        let (_, tally) = self.row(store).await;
        (tally.pending, tally.completed, tally.failed)
    }

    pub async fn row(&self, store: usize) -> (BackendRecord, BackendTally) {
        let rows = self.catalog.backends().await.unwrap();
        rows.into_iter().find(|(row, _)| row.id == self.ids[store]).unwrap()
    }

    pub async fn has(&self, store: usize, key: ObjectKey) -> bool {
        self.stores[store].check_key_exists(&key).await.unwrap()
    }

    pub async fn is_whole(&self, store: usize, pushed: &Pushed) -> bool {
        for hash in &pushed.hashes {
            match self.stores[store].get(layout::blob(*hash)).await {
                Ok(bytes) if sealed(&bytes) == *hash => {}
                _ => return false,
            }
        }
        true
    }

    pub fn root(&self, store: usize) -> std::path::PathBuf {
        self.dir.path().join(name(store).as_str())
    }

    /// Every file below staging.
    pub fn staged_files(&self) -> Vec<std::path::PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
            }
        }
        let mut found = Vec::new();
        walk(&self.dir.path().join("staging").join("staging"), &mut found);
        found
    }
}

impl Engine {
    pub fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Without waiting for what hangs for ever.
    pub async fn stop_hard(self) {
        self.shutdown.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
        for task in self.tasks {
            drop(task.await);
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            tokio::time::timeout(BOUND, task).await.expect("it stops in time").unwrap();
        }
    }
}
