//! An empty catalog with two stores and one vault, and the moves every case is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{
    BackendId, BackendName, ChangesetId, ChunkRef, Content, ContentHash, EntryChange, Epoch, FailureKind,
    FileEntry, FileMeta, FileTime, LeaseToken, PathSpan, RelPath, SealedHash, StoreKey, VaultId, Version,
};
use uuid::Uuid;

use crate::{
    Accepted, Catalog, Claim, CommitPush, Committed, FileRow, Finish, LeaseTerms, OpenPush, OpenedPush,
    Outcome, Page, Pick, PushLease, Selector, Settled, StagedBlob, StagedKey, StagedObject, TakeOver, Ticket,
    VaultObjects,
};

pub(super) const VAULT: VaultId = VaultId(*b"vaultAAA");
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// A database under test.
#[async_trait]
pub trait Bench: Send + Sync + 'static {
    /// The catalog.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// The same database through connections of its own, as another process has them.
    fn second(&self) -> Arc<dyn Catalog>;

    /// Moves the database's clock forward, for both handles.
    async fn advance(&self, by: Duration);
}

/// What a case works in.
pub struct World {
    bench: Box<dyn Bench>,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) other: Arc<dyn Catalog>,
    /// The stores `a` and `b`.
    pub(super) stores: Vec<BackendId>,
    next: AtomicU64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("stores", &self.stores).finish_non_exhaustive()
    }
}

pub(super) fn store(name: &str) -> BackendName {
    name.parse().unwrap()
}

/// The content numbered `n`.
pub(super) fn content(n: u64) -> ContentHash {
    ContentHash(bytes(n, 1))
}

/// Its usual sealing.
pub(super) fn sealed(n: u64) -> SealedHash {
    SealedHash(bytes(n, 2))
}

fn bytes(n: u64, kind: u8) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// A file of the numbered contents, 10 bytes each.
pub(super) fn entry(at: &str, contents: &[u64]) -> FileEntry {
    let chunk = |(i, n): (usize, &u64)| ChunkRef { hash: content(*n), offset: 10 * i as u64, size: 10 };
    let chunks: Vec<_> = contents.iter().enumerate().map(chunk).collect();
    let hash = match contents {
        [one] => content(*one),
        several => ContentHash(bytes(several.iter().fold(7, |sum, n| sum * 31 + n), 3)),
    };
    let mtime = FileTime { secs: 1_700_000_000, nanos: 5 };
    FileEntry {
        path: path(at),
        meta: FileMeta { mode: 0o644, uid: 1, gid: 2, mtime },
        content: Content::File { size: 10 * contents.len() as u64, hash, chunks },
        link_group: None,
    }
}

pub(super) fn put(at: &str, contents: &[u64]) -> EntryChange {
    EntryChange::Put(entry(at, contents))
}

pub(super) fn remove(at: &str) -> EntryChange {
    EntryChange::Remove(path(at))
}

pub(super) fn stored() -> Outcome {
    Outcome::Stored { location: None }
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed { kind: FailureKind::Corrupt, message: "given up".into() }
}

pub(super) fn retry(after: Duration, charged: bool) -> Outcome {
    Outcome::Retry { after, charged, error: Some((FailureKind::Unavailable, "busy".into())) }
}

pub(super) fn terms() -> LeaseTerms {
    LeaseTerms { worker: "w".into(), lease: MINUTE, held_max: HOUR }
}

pub(super) fn blob_of(claim: &Claim) -> Option<crate::UploadTarget> {
    match claim.target {
        crate::ClaimTarget::Upload(target) => Some(target),
        crate::ClaimTarget::Manifest(_) => None,
    }
}

impl World {
    /// Registers what every case needs.
    pub async fn new(bench: impl Bench) -> Self {
        let (catalog, other) = (bench.catalog(), bench.second());
        let objects = VaultObjects {
            vault: VAULT,
            marker: b"marker".to_vec(),
            epochs: vec![(Epoch(1), b"one".to_vec())],
        };
        catalog.register_vault(&objects).await.unwrap();
        let configured = ["a", "b"].map(|name| (store(name), "local".to_owned()));
        let rows = catalog.ensure_backends(&configured).await.unwrap();
        let stores = rows.iter().map(|row| row.id).collect();
        Self { bench: Box::new(bench), catalog, other, stores, next: 1.into() }
    }

    /// Every case ends with this.
    pub async fn audit(&self) {
        assert_eq!(self.catalog.audit().await.unwrap(), [], "the counters drifted");
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.bench.advance(by).await;
    }

    pub(super) fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn key(&self, sealed_hash: SealedHash) -> StagedKey {
        StagedKey { sealed_hash, id: self.fresh().cast_signed() }
    }

    pub(super) fn spec(&self, dataset: &str) -> OpenPush {
        OpenPush {
            changeset: ChangesetId(Uuid::from_u128(u128::from(self.fresh()))),
            token: LeaseToken(Uuid::from_u128(u128::from(self.fresh()))),
            project: "p".parse().unwrap(),
            dataset: dataset.parse().unwrap(),
            vault: VAULT,
            store_key: StoreKey(bytes(dataset.len() as u64, 9)),
            snapshot: None,
            description: None,
            client_id: "client".into(),
            metadata: BTreeMap::new(),
            backends: Vec::new(),
            min_copies: None,
            take_over: TakeOver::IfLapsed,
            lease: MINUTE,
        }
    }

    pub(super) async fn open(&self, dataset: &str) -> OpenedPush {
        self.catalog.open_push(&self.spec(dataset)).await.unwrap()
    }

    pub(super) fn staged(&self, n: u64) -> StagedBlob {
        StagedBlob {
            content_hash: content(n),
            size: 10,
            encrypted_size: 100 + n,
            epoch: Epoch(1),
            staged: self.key(sealed(n)),
        }
    }

    pub(super) async fn send(&self, lease: &PushLease, contents: &[u64]) -> Vec<Accepted> {
        let blobs: Vec<_> = contents.iter().map(|n| self.staged(*n)).collect();
        self.catalog.record_staged(lease, &blobs).await.unwrap()
    }

    pub(super) async fn enter(&self, lease: &PushLease, batch: u64, changes: &[EntryChange]) {
        let recorded = self.catalog.record_entries(lease, batch, changes).await.unwrap();
        assert!(!recorded.repeated);
    }

    pub(super) fn commitment(&self, batches: u64) -> CommitPush {
        let object = |kind| {
            let id = self.fresh();
            let staged = StagedKey { sealed_hash: SealedHash(bytes(id, kind)), id: id.cast_signed() };
            StagedObject { staged, size: 50 }
        };
        CommitPush { batches, header: object(5), body: object(6) }
    }

    pub(super) async fn commit(&self, lease: &PushLease, batches: u64) -> Committed {
        self.catalog.commit_push(lease, &self.commitment(batches)).await.unwrap()
    }

    /// A whole push in one batch; contents are sent whether or not they are known.
    pub(super) async fn push(&self, spec: &OpenPush, changes: &[EntryChange]) -> (ChangesetId, Version) {
        let opened = self.catalog.open_push(spec).await.unwrap();
        let blobs: Vec<_> = changes.iter().flat_map(|change| self.blobs_of(change)).collect();
        self.catalog.record_staged(&opened.lease, &blobs).await.unwrap();
        self.enter(&opened.lease, 1, changes).await;
        self.commit(&opened.lease, 1).await;
        (opened.lease.changeset, opened.version)
    }

    fn blobs_of(&self, change: &EntryChange) -> Vec<StagedBlob> {
        let EntryChange::Put(entry) = change else { return Vec::new() };
        let number = |hash: ContentHash| u64::from_le_bytes(hash.0[..8].try_into().unwrap());
        entry.chunks().iter().map(|chunk| self.staged(number(chunk.hash))).collect()
    }

    pub(super) async fn fold(&self) -> Vec<Settled> {
        let mut all = Vec::new();
        for _ in 0..10_000 {
            let (settled, more) = self.catalog.fold(3).await.unwrap();
            all.extend(settled);
            if !more {
                return all;
            }
        }
        panic!("the fold does not come to rest");
    }

    /// Dispatches everything that is due on a store.
    pub(super) async fn dispatch(&self, store: BackendId) -> Vec<Ticket> {
        let groups = self.catalog.due_groups(store, 1_000).await.unwrap();
        let picks: Vec<_> =
            groups.iter().map(|group| Pick { changeset: group.changeset, limit: group.due }).collect();
        self.catalog.dispatch(store, &picks, MINUTE).await.unwrap()
    }

    pub(super) async fn claim(&self, store: BackendId) -> Vec<Claim> {
        let tickets = self.dispatch(store).await;
        self.catalog.claim(store, &tickets, &terms()).await.unwrap()
    }

    /// Finishes claims, all of which must still be held.
    pub(super) async fn finish(&self, claims: &[Claim], outcome: &Outcome) -> Vec<StagedKey> {
        let outcomes: Vec<_> =
            claims.iter().map(|claim| Finish { claim: claim.claim, outcome: outcome.clone() }).collect();
        let report = self.catalog.finish(&outcomes).await.unwrap();
        assert!(report.accepted.iter().all(|accepted| *accepted) && report.accepted.len() == claims.len());
        report.freed
    }

    /// Works off a store's jobs, manifests included, and folds; says what settled.
    pub(super) async fn work(&self, stores: &[BackendId], outcome: &Outcome) -> Vec<Settled> {
        let mut settled = self.fold().await;
        for _ in 0..100 {
            let mut idle = true;
            for store in stores {
                let claims = self.claim(*store).await;
                idle &= claims.is_empty();
                self.finish(&claims, outcome).await;
            }
            settled.extend(self.fold().await);
            if idle {
                return settled;
            }
        }
        panic!("the stores never run out of jobs");
    }

    pub(super) async fn undo(&self) {
        for _ in 0..10_000 {
            if !self.catalog.undo_step(2).await.unwrap() {
                return;
            }
        }
        panic!("the undo does not end");
    }

    pub(super) async fn rows(&self, dataset: &str, selector: Selector) -> Vec<FileRow> {
        let (project, dataset) = ("p".parse().unwrap(), dataset.parse().unwrap());
        let version = self.catalog.version(&project, &dataset, &selector).await.unwrap();
        let page = Page { after: None, limit: 10_000 };
        self.catalog.tree(&version, &PathSpan::Everything, &page).await.unwrap()
    }
}

/// Randomness that a printed seed brings back (splitmix64).
#[derive(Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
