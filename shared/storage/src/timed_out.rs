//! No operation takes for ever: one that does not answer in time is `Unavailable`, and whoever waits goes on.
//!
//! A batch has one deadline, which grows with its bytes: a store that is merely slow must not be called dead for the size of what
//! it was given. Rejected: a deadline for each object, which a store that answers for the batch as a whole cannot be held to.
//!
//! What is late may still happen: a thread that waits for a disk cannot be stopped, nor a request be taken back. It does no harm.
//! An object's name stands for its bytes, so that a late put puts what the next attempt would have put; names in staging are never
//! used twice, so that a late delete hits nothing newer; of what is overwritten, the probe is always the same and `head` only
//! advice. A late answer is not believed: what was called `Unavailable` is tried again and found to be there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::{FailureKind, Timestamp};

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// The slowest store that is not called dead, in bytes per second.
const PACE: u64 = 1 << 20;
/// What a whole object to read counts for: its length is not known before.
const WHOLE_BYTES: u64 = 1 << 20;

/// A store with a deadline for every operation but `list`, which is a stream, and `sweep`, for which nobody waits.
#[derive(Clone, Debug)]
pub struct TimedOut {
    inner: Arc<dyn Storage>,
    after: Duration,
}

impl TimedOut {
    /// Gives each call `after`, and a second more for each MiB that it moves (of a whole object to read: one MiB).
    pub fn new(inner: Arc<dyn Storage>, after: Duration) -> Self {
        Self { inner, after }
    }

    fn late(&self, op: &'static str, key: Option<ObjectKey>, after: Duration) -> StorageError {
        let source = anyhow::anyhow!("no answer within {after:?}");
        let backend = self.inner.name().into();
        StorageError { kind: FailureKind::Unavailable, op, backend, key, retry_after: None, source }
    }

    async fn each<T>(
        &self,
        (op, bytes): (&'static str, u64),
        keys: Vec<ObjectKey>,
        answers: impl Future<Output = Vec<Result<T, StorageError>>> + Send,
    ) -> Vec<Result<T, StorageError>> {
        let after = self.after.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / PACE));
        match tokio::time::timeout(after, answers).await {
            Ok(answers) => answers,
            Err(_) => keys.into_iter().map(|key| Err(self.late(op, Some(key), after))).collect(),
        }
    }
}

fn bytes_of(get: &Get) -> u64 {
    get.range.as_ref().map_or(WHOLE_BYTES, |range| range.end.saturating_sub(range.start))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for TimedOut {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let keys = puts.iter().map(|put| put.key.clone()).collect();
        let bytes = puts.iter().map(|put| put.body.bytes().len() as u64).sum();
        self.each(("store", bytes), keys, self.inner.store(puts)).await
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let keys = puts.iter().map(|put| put.key.clone()).collect();
        let bytes = puts.iter().map(|put| put.body.bytes().len() as u64).sum();
        self.each(("store", bytes), keys, self.inner.store_fresh(puts)).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let keys = gets.iter().map(|get| get.key.clone()).collect();
        let bytes = gets.iter().map(bytes_of).fold(0, u64::saturating_add);
        self.each(("retrieve", bytes), keys, self.inner.retrieve(gets)).await
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        self.each(("stat", 0), keys.to_vec(), self.inner.stat(keys)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        self.each(("delete", 0), keys.to_vec(), self.inner.delete(keys)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn health(&self) -> Result<(), StorageError> {
        tokio::time::timeout(self.after, self.inner.health())
            .await
            .unwrap_or_else(|_| Err(self.late("health", None, self.after)))
    }

    fn url(&self, key: &ObjectKey) -> Option<String> {
        self.inner.url(key)
    }

    fn local_path(&self, key: &ObjectKey) -> Option<PathBuf> {
        self.inner.local_path(key)
    }

    async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        self.inner.sweep(before).await
    }
}
