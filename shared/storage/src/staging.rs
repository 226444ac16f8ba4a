//! Where sealed blobs wait for the workers; itself a store.
//!
//! An object is `staging/<first two hex digits>/<sealed_hash>.<id>`, the id fresh each time, so that a late delete never
//! hits a newer object of the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use n2s_domain::{FailureKind, SealedHash, Timestamp};

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::storage::{Body, Get, Put, Storage};

/// An object in staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StagingKey {
    /// BLAKE3 of its bytes.
    pub sealed_hash: SealedHash,
    /// A random positive number.
    pub id: i64,
}

/// An object found in staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Which.
    pub key: StagingKey,
    /// When it was written, where the store knows.
    pub modified: Option<Timestamp>,
}

const PREFIX: &str = "staging";

impl StagingKey {
    fn object(self) -> ObjectKey {
        let hex = self.sealed_hash.to_hex();
        ObjectKey::known(format!("{PREFIX}/{}/{hex}.{:016x}", &hex[..2], self.id))
    }

    fn parse(key: &ObjectKey) -> Option<Self> {
        let (hash, id) = key.as_str().rsplit('/').next()?.split_once('.')?;
        Some(Self { sealed_hash: hash.parse().ok()?, id: i64::from_str_radix(id, 16).ok()? })
    }
}

/// The staging area.
#[derive(Clone, Debug)]
pub struct Staging(Arc<dyn Storage>);

impl Staging {
    /// Stages on `store`.
    pub fn new(store: Arc<dyn Storage>) -> Self {
        Self(store)
    }

    /// Writes objects, durably; each answer stands alone.
    pub async fn put(&self, objects: Vec<(StagingKey, Bytes)>) -> Vec<Result<(), StorageError>> {
        let put = |(key, bytes): (StagingKey, Bytes)| Put {
            key: key.object(),
            body: Body::Bytes(bytes),
            digest: key.sealed_hash,
            overwrite: false,
        };
        let answers = self.0.store_fresh(objects.into_iter().map(put).collect()).await;
        answers.into_iter().map(|answer| answer.map(drop)).collect()
    }

    /// Reads objects and checks their bytes: a damaged one is `Corrupt`. What comes back can be stored without a further look.
    pub async fn get(&self, keys: &[StagingKey]) -> Vec<Result<Body, StorageError>> {
        let gets = keys.iter().map(|key| Get { key: key.object(), range: None }).collect();
        let answers = self.0.retrieve(gets).await;
        answers.into_iter().zip(keys).map(|(answer, key)| self.checked(*key, answer?)).collect()
    }

    fn checked(&self, key: StagingKey, bytes: Bytes) -> Result<Body, StorageError> {
        if blake3::hash(&bytes).as_bytes() != key.sealed_hash.as_bytes() {
            return Err(StorageError {
                kind: FailureKind::Corrupt,
                op: "retrieve",
                backend: self.0.name().into(),
                key: Some(key.object()),
                retry_after: None,
                source: anyhow::anyhow!("the staged bytes are not those the name stands for"),
            });
        }
        Ok(match self.0.local_path(&key.object()) {
            Some(path) => Body::File { path, bytes },
            None => Body::Bytes(bytes),
        })
    }

    /// Deletes objects; what cannot be deleted now is found as an orphan later.
    pub async fn delete(&self, keys: &[StagingKey]) -> Vec<Result<(), StorageError>> {
        let keys: Vec<_> = keys.iter().map(|key| key.object()).collect();
        self.0.delete(&keys).await
    }

    /// Removes what writers that died have left half-written; see [`Storage::sweep`].
    pub async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        self.0.sweep(before).await
    }

    /// Every object in staging.
    pub fn list(&self) -> BoxStream<'_, Result<Staged, StorageError>> {
        let staged = |listed: Result<crate::Listed, StorageError>| async move {
            match listed {
                Ok(listed) => {
                    StagingKey::parse(&listed.key).map(|key| Ok(Staged { key, modified: listed.modified }))
                }
                Err(error) => Some(Err(error)),
            }
        };
        self.0.list(PREFIX).filter_map(staged).boxed()
    }
}
