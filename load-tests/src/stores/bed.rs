//! A whole engine over stores by the book, with a push's worth of jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use n2s_catalog::{
    Catalog, CommitPush, OpenPush, StagedBlob, StagedKey, StagedObject, TakeOver, VaultObjects,
};
use n2s_catalog_sqlite::SqliteCatalog;
use n2s_dispatcher::{
    Dispatcher, DispatcherDeps, DispatcherSettings, Folder, Sweeper, SweeperDeps, SweeperSettings,
};
use n2s_domain::backoff::RetryPolicy;
use n2s_domain::{
    BackendId, BackendName, ChangesetId, ChunkRef, Content, ContentHash, EntryChange, Epoch, FileEntry,
    FileMeta, FileTime, LeaseToken, RelPath, SealedHash, StoreKey, SystemClock, SystemEntropy, VaultId,
    limits,
};
use n2s_queue::{Bell, EmbeddedQueue};
use n2s_storage::{Staging, StagingKey, Storage, TimedOut};
use n2s_worker::{StoreDeps, Worker, WorkerDeps, WorkerSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Manner, Model};

const VAULT: VaultId = VaultId(*b"vaultAAA");
/// After which a store that answers nothing counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A store of the bed, and the bounds of what it gets at once.
pub struct Served {
    pub model: Arc<Model>,
    pub bounds: (u32, u32),
}

/// See the module.
pub struct Bed {
    _dir: tempfile::TempDir,
    pub catalog: Arc<dyn Catalog>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Bed {
    /// With `jobs` blobs for each store, all due, and everything at work.
    pub async fn start(stores: &[Served], jobs: u32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let catalog =
            SqliteCatalog::open(&dir.path().join("catalog.db"), clock.clone(), entropy.clone()).await?;
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let names: Vec<BackendName> =
            stores.iter().map(|store| store.model.name().parse()).collect::<Result<_, _>>()?;
        let configured: Vec<_> = names.iter().map(|name| (name.clone(), "s3".to_owned())).collect();
        let rows = catalog.ensure_backends(&configured).await?;
        let epochs = vec![(Epoch(1), b"wrapped".to_vec())];
        catalog.register_vault(&VaultObjects { vault: VAULT, marker: b"marker".to_vec(), epochs }).await?;
        let staging = Staging::new(Arc::new(Model::new("staging", Manner::Fast)));
        push(&*catalog, &staging, &names, jobs).await?;
        let (queue, bell) = (Arc::new(EmbeddedQueue::new(20_000)), Bell::new());
        let store = |(served, id): (&Served, BackendId)| StoreDeps {
            id,
            name: names[0].clone(),
            kind: "s3".to_owned(),
            storage: Arc::new(TimedOut::new(served.model.clone(), TIMEOUT)),
            retry: RetryPolicy::default(),
            concurrency: served.bounds,
            batch: 1,
        };
        let ids: Vec<BackendId> = rows.iter().map(|row| row.id).collect();
        let mut deps: Vec<_> = stores.iter().zip(ids.iter().copied()).map(store).collect();
        deps.iter_mut().zip(&names).for_each(|(deps, name)| deps.name = name.clone());
        let worker = WorkerDeps {
            catalog: catalog.clone(),
            queue: queue.clone(),
            staging: staging.clone(),
            bell: bell.clone(),
            clock: clock.clone(),
            entropy,
            stores: deps,
            sources: Vec::new(),
        };
        let mut settings = WorkerSettings::new("bench");
        settings.grace = Duration::from_millis(100);
        let dispatcher = DispatcherDeps {
            catalog: catalog.clone(),
            queue,
            bell: bell.clone(),
            backends: ids.into_iter().zip(names).collect(),
        };
        let sweeper = SweeperDeps { catalog: catalog.clone(), staging, bell: bell.clone(), clock };
        let shutdown = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(Dispatcher::new(dispatcher, DispatcherSettings::default()).run(shutdown.clone())),
            tokio::spawn(Folder::new(catalog.clone(), bell).run(shutdown.clone())),
            tokio::spawn(Sweeper::new(sweeper, SweeperSettings::default()).run(shutdown.clone())),
            tokio::spawn(Worker::new(worker, settings).run(shutdown.clone())),
        ];
        Ok(Self { _dir: dir, catalog, shutdown, tasks })
    }

    pub async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}

async fn push(catalog: &dyn Catalog, staging: &Staging, stores: &[BackendName], jobs: u32) -> Result<()> {
    let opened = catalog
        .open_push(&OpenPush {
            changeset: ChangesetId::new(&SystemClock, &SystemEntropy),
            token: LeaseToken::new(&SystemEntropy),
            project: "bench".parse()?,
            dataset: "jobs".parse()?,
            vault: VAULT,
            store_key: StoreKey([7; 32]),
            snapshot: None,
            description: None,
            client_id: "bench".to_owned(),
            metadata: BTreeMap::new(),
            backends: stores.to_vec(),
            min_copies: None,
            take_over: TakeOver::IfLapsed,
            lease: Duration::from_mins(10),
        })
        .await?;
    let numbers: Vec<u32> = (0..jobs).collect();
    let mut batches = 0;
    for some in numbers.chunks(limits::BATCH_ITEMS_MAX) {
        let made: Vec<_> = some.iter().map(|n| blob(*n)).collect();
        let puts = made.iter().map(|(blob, bytes, _)| (key(blob.staged), bytes.clone())).collect();
        staging.put(puts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let blobs: Vec<_> = made.iter().map(|(blob, _, _)| *blob).collect();
        catalog.record_staged(&opened.lease, &blobs).await?;
        batches += 1;
        let changes: Vec<_> = made.into_iter().map(|(_, _, change)| change).collect();
        catalog.record_entries(&opened.lease, batches, &changes).await?;
    }
    let [header, body] =
        [("header", 1), ("body", 2)].map(|(name, n)| (staged(name.as_bytes(), i64::from(jobs) + n), name));
    let puts = [header, body].map(|(at, name)| (key(at), Bytes::from_static(name.as_bytes())));
    staging.put(puts.into()).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let object = |(staged, name): (StagedKey, &str)| StagedObject { staged, size: name.len() as u64 };
    let commit = CommitPush { batches, header: object(header), body: object(body) };
    catalog.commit_push(&opened.lease, &commit).await?;
    Ok(())
}

fn blob(n: u32) -> (StagedBlob, Bytes, EntryChange) {
    let bytes = Bytes::from(format!("the content of the file with the number {n:010}"));
    let hash = ContentHash(*blake3::hash(&n.to_le_bytes()).as_bytes());
    let size = bytes.len() as u64;
    let staged = staged(&bytes, i64::from(n) + 1);
    let blob = StagedBlob { content_hash: hash, size, encrypted_size: size, epoch: Epoch(1), staged };
    let whole = ChunkRef { hash, offset: 0, size: u32::try_from(size).unwrap_or(u32::MAX) };
    let entry = FileEntry {
        path: RelPath::new(format!("{n}")).unwrap_or_else(|_| unreachable!("a number is a path")),
        meta: FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } },
        content: Content::File { size, hash, chunks: vec![whole] },
        link_group: None,
    };
    (blob, bytes, EntryChange::Put(entry))
}

fn staged(bytes: &[u8], id: i64) -> StagedKey {
    StagedKey { sealed_hash: SealedHash(*blake3::hash(bytes).as_bytes()), id }
}

fn key(staged: StagedKey) -> StagingKey {
    StagingKey { sealed_hash: staged.sealed_hash, id: staged.id }
}
