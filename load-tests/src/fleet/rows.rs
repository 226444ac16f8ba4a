//! Committed rows, made with the catalog's own methods, in the order in which a producer calls them. No bytes are staged: see `store`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use n2s_catalog::{
    Catalog, CommitPush, OpenPush, StagedBlob, StagedKey, StagedObject, TakeOver, VaultObjects,
};
use n2s_domain::limits::BATCH_ITEMS_MAX;
use n2s_domain::{
    ChangesetId, ChunkRef, Content, ContentHash, EntryChange, Epoch, FileEntry, FileMeta, FileTime,
    LeaseToken, RelPath, StoreKey, SystemClock, SystemEntropy, VaultId,
};

use crate::roles::backend;
use crate::store::{MARKER, content, sealed};

const VAULT: VaultId = VaultId(*b"loadtest");

/// What makes pushes. Numbers in staging are given out one after the other, so that a trace can name what it saw.
pub struct Producer {
    stores: usize,
    next: i64,
}

impl Producer {
    /// For this many stores, counting from `first`. Registers the vault.
    pub async fn new(catalog: &dyn Catalog, stores: usize, first: i64) -> Result<Self> {
        let epochs = vec![(Epoch(1), b"a wrapped epoch".to_vec())];
        catalog.register_vault(&VaultObjects { vault: VAULT, marker: MARKER.to_vec(), epochs }).await?;
        Ok(Self { stores, next: first })
    }

    /// Another one for the same stores, that counts from elsewhere.
    pub fn from(&self, first: i64) -> Self {
        Self { stores: self.stores, next: first }
    }

    /// Pushes so many new blobs as the first version of a dataset, and commits.
    pub async fn push(&mut self, catalog: &dyn Catalog, dataset: &str, blobs: usize) -> Result<()> {
        self.push_telling(catalog, dataset, blobs, |_| {}).await
    }

    /// The same; `entered` hears of each batch whose rows are committed.
    pub async fn push_telling(
        &mut self,
        catalog: &dyn Catalog,
        dataset: &str,
        blobs: usize,
        entered: impl Fn(&[i64]),
    ) -> Result<()> {
        let lease = catalog.open_push(&self.open(dataset)?).await?.lease;
        let first = self.next;
        self.next += i64::try_from(blobs)?;
        let numbers: Vec<i64> = (first..self.next).collect();
        let mut batches = 0;
        for some in numbers.chunks(BATCH_ITEMS_MAX) {
            let blobs: Vec<_> = some.iter().map(|&number| staged(number)).collect();
            let changes: Result<Vec<_>> = some.iter().map(|&number| entry(number)).collect();
            catalog.record_staged(&lease, &blobs).await?;
            batches += 1;
            catalog.record_entries(&lease, batches, &changes?).await?;
            entered(some);
        }
        let (header, body) = (object(self.next), object(self.next + 1));
        self.next += 2;
        catalog.commit_push(&lease, &CommitPush { batches, header, body }).await?;
        Ok(())
    }

    fn open(&self, dataset: &str) -> Result<OpenPush> {
        let backends: Result<_> = (0..self.stores).map(backend).collect();
        Ok(OpenPush {
            changeset: ChangesetId::new(&SystemClock, &SystemEntropy),
            token: LeaseToken::new(&SystemEntropy),
            project: "load".parse()?,
            dataset: dataset.parse()?,
            vault: VAULT,
            store_key: StoreKey(*blake3::hash(dataset.as_bytes()).as_bytes()),
            snapshot: None,
            description: None,
            client_id: "load".to_owned(),
            metadata: BTreeMap::new(),
            backends: backends?,
            min_copies: None,
            take_over: TakeOver::IfLapsed,
            lease: Duration::from_mins(2),
        })
    }
}

fn key(number: i64) -> StagedKey {
    StagedKey { sealed_hash: sealed(number), id: number }
}

fn object(number: i64) -> StagedObject {
    StagedObject { staged: key(number), size: content(number).len() as u64 }
}

/// The content is as unlike the sealed bytes as a hash is.
fn hash(number: i64) -> ContentHash {
    ContentHash(*blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn staged(number: i64) -> StagedBlob {
    let size = content(number).len() as u64;
    let content_hash = hash(number);
    StagedBlob { content_hash, size, encrypted_size: size, epoch: Epoch(1), staged: key(number) }
}

fn entry(number: i64) -> Result<EntryChange> {
    let (hash, size) = (hash(number), content(number).len());
    Ok(EntryChange::Put(FileEntry {
        path: RelPath::new(format!("d{:04}/f{number:09}", number / 1_000))?,
        meta: FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } },
        content: Content::File {
            size: size as u64,
            hash,
            chunks: vec![ChunkRef { hash, offset: 0, size: u32::try_from(size)? }],
        },
        link_group: None,
    }))
}
