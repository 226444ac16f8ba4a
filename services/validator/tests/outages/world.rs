//! A catalog with one dataset on one store, whose every object is really there, behind a store that fails as told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use n2s_catalog::{
    Backends as _, Catalog, CommitPush, DamageScope, Finish, LeaseTerms, OpenPush, Outcome, Pick,
    Pushes as _, StagedBlob, StagedKey, StagedObject, TakeOver, VaultObjects, Vaults as _,
};
use n2s_catalog_sqlite::SqliteCatalog;
use n2s_domain::{
    BackendId, BackendName, ChangesetId, ChunkRef, Content, ContentHash, EntryChange, Epoch, FileEntry,
    FileMeta, FileTime, LeaseToken, ProofLevel, RelPath, SealedHash, SeededEntropy, StoreKey, SystemClock,
    VaultId,
};
use n2s_queue::Bell;
use n2s_storage::testing::Faulty;
use n2s_storage::{Body, ObjectKey, Put, Storage, StorageExt as _, layout};
use n2s_storage_backends::LocalStore;
use n2s_validator::{Progress, Report, Request, StoreDeps, ValidatorDeps, validate};
use tokio_util::sync::CancellationToken;

const VAULT: VaultId = VaultId(*b"vaultAAA");

pub struct World {
    pub catalog: Arc<SqliteCatalog>,
    pub store: Arc<Faulty>,
    inner: Arc<LocalStore>,
    id: BackendId,
    name: BackendName,
    _dir: tempfile::TempDir,
}

struct Nobody;

impl Progress for Nobody {
    fn total(&self, _: u64, _: u64) {}
    fn checked(&self, _: u64, _: u64, _: u64) {}
}

fn bytes_of(n: usize) -> Bytes {
    Bytes::from(format!("the sealed bytes of {n}"))
}

fn digest(bytes: &Bytes) -> SealedHash {
    SealedHash(*blake3::hash(bytes).as_bytes())
}

/// The name of the numbered blob on the store.
pub fn key(n: usize) -> ObjectKey {
    layout::blob(digest(&bytes_of(n)))
}

impl World {
    pub async fn new(blobs: usize) -> Self {
        Self::with(blobs, true).await
    }

    /// Without the blobs themselves: of these the catalog only believes that they are there.
    pub async fn believed(blobs: usize) -> Self {
        Self::with(blobs, false).await
    }

    async fn with(blobs: usize, written: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let entropy = Arc::new(SeededEntropy::new(1));
        let path = dir.path().join("catalog.db");
        let catalog = Arc::new(SqliteCatalog::open(&path, Arc::new(SystemClock), entropy).await.unwrap());
        let root = dir.path().join("store");
        LocalStore::create_root(&root).unwrap();
        let inner = Arc::new(LocalStore::new("a", root));
        let store = Arc::new(Faulty::new(Arc::clone(&inner) as _));
        let name: BackendName = "a".parse().unwrap();
        let id = catalog.ensure_backends(&[(name.clone(), "local".into())]).await.unwrap()[0].id;
        let world = Self { catalog, store, inner, id, name, _dir: dir };
        world.put(layout::marker(), Bytes::from_static(b"marker")).await;
        world.put(layout::epoch(Epoch(1)), Bytes::from_static(b"key")).await;
        let epochs = vec![(Epoch(1), b"key".to_vec())];
        let objects = VaultObjects { vault: VAULT, marker: b"marker".to_vec(), epochs };
        world.catalog.register_vault(&objects).await.unwrap();
        world.catalog.set_initialised(id, VAULT).await.unwrap();
        world.catalog.epoch_placed(id, Epoch(1)).await.unwrap();
        world.push(blobs, written).await;
        world
    }

    async fn put(&self, key: ObjectKey, bytes: Bytes) {
        let (digest, body) = (digest(&bytes), Body::Bytes(bytes));
        self.inner.put(Put { key, body, digest, overwrite: true }).await.unwrap();
    }

    async fn push(&self, blobs: usize, written: bool) {
        let entropy = SeededEntropy::new(2);
        let store_key = StoreKey([7; 32]);
        let open = OpenPush {
            changeset: ChangesetId::new(&SystemClock, &entropy),
            token: LeaseToken::new(&entropy),
            project: "p".parse().unwrap(),
            dataset: "d".parse().unwrap(),
            vault: VAULT,
            store_key,
            snapshot: None,
            description: None,
            client_id: "test".into(),
            metadata: BTreeMap::new(),
            backends: Vec::new(),
            min_copies: None,
            take_over: TakeOver::IfLapsed,
            lease: Duration::from_mins(1),
        };
        let lease = self.catalog.open_push(&open).await.unwrap().lease;
        let (mut staged, mut changes) = (Vec::new(), Vec::new());
        for n in 0..blobs {
            let bytes = bytes_of(n);
            let content_hash = ContentHash(*blake3::hash(n.to_string().as_bytes()).as_bytes());
            let key = StagedKey { sealed_hash: digest(&bytes), id: i64::try_from(n).unwrap() + 10 };
            let encrypted_size = bytes.len() as u64;
            staged.push(StagedBlob { content_hash, size: 9, encrypted_size, epoch: Epoch(1), staged: key });
            changes.push(EntryChange::Put(entry(n, content_hash)));
            if written {
                self.put(layout::blob(digest(&bytes)), bytes).await;
            }
        }
        self.catalog.record_staged(&lease, &staged).await.unwrap();
        self.catalog.record_entries(&lease, 1, &changes).await.unwrap();
        let parts = [
            layout::manifest_header(store_key, n2s_domain::Version(1)),
            layout::manifest_body(store_key, n2s_domain::Version(1)),
        ];
        let objects = parts.clone().map(|key| Bytes::from(key.to_string()));
        let object = |n: usize| StagedObject {
            staged: StagedKey { sealed_hash: digest(&objects[n]), id: i64::try_from(n).unwrap() + 1 },
            size: objects[n].len() as u64,
        };
        let commit = CommitPush { batches: 1, header: object(0), body: object(1) };
        self.catalog.commit_push(&lease, &commit).await.unwrap();
        for (key, bytes) in parts.into_iter().zip(objects.clone()) {
            self.put(key, bytes).await;
        }
        self.work().await;
    }

    /// Every job is done.
    async fn work(&self) {
        let catalog: &dyn Catalog = self.catalog.as_ref();
        loop {
            while catalog.fold(1_000).await.unwrap().1 {}
            let groups = catalog.due_groups(self.id, 10_000).await.unwrap();
            if groups.is_empty() {
                return;
            }
            let picks: Vec<_> =
                groups.iter().map(|g| Pick { changeset: g.changeset, limit: g.due }).collect();
            let minute = Duration::from_mins(1);
            let tickets = catalog.dispatch(self.id, &picks, minute).await.unwrap();
            let terms = LeaseTerms { worker: "w".into(), lease: minute, held_max: minute };
            let claims = catalog.claim(self.id, &tickets, &terms).await.unwrap();
            let stored = || Outcome::Stored { location: None };
            let outcomes: Vec<_> =
                claims.iter().map(|claim| Finish { claim: claim.claim, outcome: stored() }).collect();
            catalog.finish(&outcomes).await.unwrap();
        }
    }

    pub fn deps(&self) -> ValidatorDeps {
        let storage: Arc<dyn Storage> = Arc::clone(&self.store) as _;
        ValidatorDeps {
            catalog: Arc::clone(&self.catalog) as _,
            stores: vec![StoreDeps { id: self.id, name: self.name.clone(), storage }],
            bell: Bell::new(),
            opener: None,
        }
    }

    pub async fn validate(&self) -> Report {
        self.validate_at(None).await
    }

    pub async fn validate_at(&self, bytes_per_sec: Option<u64>) -> Report {
        let request = Request {
            project: "p".parse().unwrap(),
            dataset: "d".parse().unwrap(),
            backend: None,
            level: ProofLevel::Sealed,
            one_in: 1,
            bytes_per_sec,
            patience: Duration::ZERO,
        };
        validate(&self.deps(), &request, &Nobody, &CancellationToken::new()).await.unwrap()
    }

    /// As an operator does.
    pub async fn pause(&self) {
        self.catalog.pause(self.id, true, "moving house").await.unwrap();
    }

    /// What the catalog holds for damaged.
    pub async fn damages(&self) -> usize {
        let catalog: &dyn Catalog = self.catalog.as_ref();
        catalog.damages(&DamageScope::default(), 100).await.unwrap().len()
    }
}

fn entry(n: usize, hash: ContentHash) -> FileEntry {
    FileEntry {
        path: RelPath::new(format!("f{n}")).unwrap(),
        meta: FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } },
        content: Content::File { size: 9, hash, chunks: vec![ChunkRef { hash, offset: 0, size: 9 }] },
        link_group: None,
    }
}
