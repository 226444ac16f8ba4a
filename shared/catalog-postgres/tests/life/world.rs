//! A catalog in a database of its own, and a producer and workers to go with it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use n2s_catalog::{
    Backends as _, CatalogError, Claim, CommitPush, Completion as _, Finish, FinishReport, Jobs as _,
    LeaseTerms, OpenPush, OpenedPush, Outcome, Pick, PushLease, Pushes as _, StagedBlob, StagedKey,
    StagedObject, TakeOver, Ticket, VaultObjects, Vaults as _,
};
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions, migrate};
use n2s_domain::{
    BackendId, ChangesetId, ChunkRef, Content, ContentHash, DatasetName, Entropy as _, EntryChange, Epoch,
    FileEntry, FileMeta, FileTime, LeaseToken, ProjectName, RelPath, SealedHash, StoreKey, SystemClock,
    SystemEntropy, VaultId,
};
use n2s_servers::Postgres;

pub const VAULT: VaultId = VaultId([7; 8]);

#[derive(Clone)]
pub struct World(Arc<Inner>);

pub struct Inner {
    pub catalog: PostgresCatalog,
    pub url: String,
    offset: Arc<AtomicI64>,
}

impl Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

pub fn project() -> ProjectName {
    "dsg".parse().unwrap()
}

pub fn dataset() -> DatasetName {
    "tree".parse().unwrap()
}

pub fn terms() -> LeaseTerms {
    LeaseTerms { worker: "w".to_owned(), lease: Duration::from_mins(1), held_max: Duration::from_hours(1) }
}

pub fn stored() -> Outcome {
    Outcome::Stored { location: None }
}

pub fn finish(claim: &Claim, outcome: Outcome) -> Finish {
    Finish { claim: claim.claim, outcome }
}

/// A hash that stands for a text; not a real one, nobody here looks.
pub fn hash(text: &str) -> ContentHash {
    let mut bytes = [0u8; 32];
    for (at, byte) in text.bytes().enumerate() {
        bytes[at % 32] = bytes[at % 32].wrapping_mul(31).wrapping_add(byte);
    }
    ContentHash(bytes)
}

pub fn put(path: &str) -> EntryChange {
    let content = Content::File {
        size: 5,
        hash: hash(path),
        chunks: vec![ChunkRef { hash: hash(path), offset: 0, size: 5 }],
    };
    let meta = FileMeta { mode: 0o644, uid: 1, gid: 1, mtime: FileTime { secs: -1, nanos: 5 } };
    EntryChange::Put(FileEntry {
        path: RelPath::new(path.as_bytes()).unwrap(),
        meta,
        content,
        link_group: None,
    })
}

impl World {
    pub async fn new(stores: u32) -> Self {
        Self::on(Postgres::shared(), stores).await
    }

    pub async fn on(server: &Postgres, stores: u32) -> Self {
        let url = database(server).await;
        let offset = Arc::new(AtomicI64::new(0));
        let options = PostgresOptions {
            clock_offset: Some(offset.clone()),
            // The driver keeps knocking at a closed door for this long.
            acquire_timeout: Duration::from_secs(5),
            ..PostgresOptions::new(&url)
        };
        let catalog = PostgresCatalog::open(&options).await.unwrap();
        let objects = VaultObjects { vault: VAULT, marker: vec![1], epochs: vec![(Epoch(1), vec![2])] };
        catalog.register_vault(&objects).await.unwrap();
        let stores: Vec<_> =
            (0..stores).map(|n| (format!("s{n}").parse().unwrap(), "local".to_owned())).collect();
        assert_eq!(catalog.ensure_backends(&stores).await.unwrap().len(), stores.len());
        Self(Arc::new(Inner { catalog, url, offset }))
    }

    /// The same database through connections of another catalog.
    pub async fn again(&self) -> Self {
        let options =
            PostgresOptions { clock_offset: Some(self.offset.clone()), ..PostgresOptions::new(&self.url) };
        let catalog = PostgresCatalog::open(&options).await.unwrap();
        Self(Arc::new(Inner { catalog, url: self.url.clone(), offset: self.offset.clone() }))
    }

    pub fn psql(&self, sql: &str) -> String {
        Postgres::psql(&self.url, sql)
    }

    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub async fn open(&self, client: &str, take_over: TakeOver) -> Result<OpenedPush, CatalogError> {
        self.open_dataset("tree", client, take_over).await
    }

    pub async fn open_dataset(
        &self,
        dataset: &str,
        client: &str,
        take_over: TakeOver,
    ) -> Result<OpenedPush, CatalogError> {
        self.open_on(&self.catalog, dataset, client, take_over).await
    }

    pub async fn open_on(
        &self,
        catalog: &PostgresCatalog,
        dataset: &str,
        client: &str,
        take_over: TakeOver,
    ) -> Result<OpenedPush, CatalogError> {
        let push = OpenPush {
            changeset: ChangesetId::new(&SystemClock, &SystemEntropy),
            token: LeaseToken::new(&SystemEntropy),
            project: project(),
            dataset: dataset.parse().unwrap(),
            vault: VAULT,
            store_key: StoreKey([9; 32]),
            snapshot: Some("snap".to_owned()),
            description: None,
            client_id: client.to_owned(),
            metadata: [("k".to_owned(), "v\0".to_owned())].into(),
            backends: Vec::new(),
            min_copies: None,
            take_over,
            lease: Duration::from_mins(1),
        };
        catalog.open_push(&push).await
    }

    pub async fn stage(&self, lease: &PushLease, paths: &[&str]) {
        let contents: Vec<_> = paths.iter().map(|path| hash(path)).collect();
        self.catalog.offer(lease, &contents).await.unwrap();
        let staged = contents.iter().map(|content_hash| StagedBlob {
            content_hash: *content_hash,
            size: 5,
            encrypted_size: 50,
            epoch: Epoch(1),
            staged: StagedKey { sealed_hash: SealedHash(content_hash.0), id: staging_id() },
        });
        self.catalog.record_staged(lease, &staged.collect::<Vec<_>>()).await.unwrap();
    }

    /// Stages and records, twice: the second time changes nothing.
    pub async fn enter(&self, lease: &PushLease, batch: u64, paths: &[&str]) {
        self.stage(lease, paths).await;
        let changes: Vec<_> = paths.iter().map(|path| put(path)).collect();
        assert!(!self.catalog.record_entries(lease, batch, &changes).await.unwrap().repeated);
        assert!(self.catalog.record_entries(lease, batch, &changes).await.unwrap().repeated);
    }

    /// Commits, twice.
    pub async fn commit(&self, lease: &PushLease, batches: u64) {
        let object = || StagedObject {
            staged: StagedKey { sealed_hash: SealedHash([3; 32]), id: staging_id() },
            size: 9,
        };
        let commit = CommitPush { batches, header: object(), body: object() };
        assert!(!self.catalog.commit_push(lease, &commit).await.unwrap().repeated);
        assert!(self.catalog.commit_push(lease, &commit).await.unwrap().repeated);
    }

    pub async fn push(&self, client: &str, paths: &[&str]) -> PushLease {
        self.push_to("tree", client, paths).await
    }

    pub async fn push_to(&self, dataset: &str, client: &str, paths: &[&str]) -> PushLease {
        let open = self.open_dataset(dataset, client, TakeOver::IfLapsed).await.unwrap();
        let mut batch = 0;
        for paths in paths.chunks(16) {
            batch += 1;
            self.enter(&open.lease, batch, paths).await;
        }
        self.commit(&open.lease, batch).await;
        open.lease
    }

    pub async fn fold(&self) {
        while self.catalog.fold(100).await.unwrap().1 {}
    }

    pub async fn dispatch_all(&self, backend: BackendId) -> Vec<Ticket> {
        let groups = self.catalog.due_groups(backend, 1_000).await.unwrap();
        let picks: Vec<_> =
            groups.iter().map(|group| Pick { changeset: group.changeset, limit: group.due }).collect();
        self.catalog.dispatch(backend, &picks, Duration::from_mins(1)).await.unwrap()
    }

    pub async fn claim(&self, backend: BackendId, tickets: &[Ticket]) -> Vec<Claim> {
        self.catalog.claim(backend, tickets, &terms()).await.unwrap()
    }

    pub async fn claim_all(&self, backend: BackendId) -> Vec<Claim> {
        let tickets = self.dispatch_all(backend).await;
        self.claim(backend, &tickets).await
    }

    /// One round of a worker and a folder: everything due is stored. Returns how many jobs.
    pub async fn work_once(&self) -> usize {
        let mut done = 0;
        for (backend, _) in self.catalog.backends().await.unwrap() {
            let claims = self.claim_all(backend.id).await;
            let outcomes: Vec<_> = claims.iter().map(|claim| finish(claim, stored())).collect();
            let report: FinishReport = self.catalog.finish(&outcomes).await.unwrap();
            done += report.accepted.iter().filter(|accepted| **accepted).count();
        }
        self.fold().await;
        done
    }

    /// Works until nothing is left.
    pub async fn work(&self) -> usize {
        self.fold().await;
        let mut done = 0;
        loop {
            match self.work_once().await {
                0 => return done,
                some => done += some,
            }
        }
    }
}

async fn database(server: &Postgres) -> String {
    let make = async |url| assert_eq!(migrate(&PostgresOptions::new(url)).await.unwrap().0, 0);
    server.database_like("n2s_pattern", make).await
}

fn staging_id() -> i64 {
    i64::try_from(SystemEntropy.next_u64() >> 1).unwrap()
}
