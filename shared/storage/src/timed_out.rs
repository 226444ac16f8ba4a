//! No operation takes for ever: one that does not answer in time is `Unavailable`, and whoever waits goes on.

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

/// A store with a deadline for every operation but `list`, which is a stream.
#[derive(Clone, Debug)]
pub struct TimedOut {
    inner: Arc<dyn Storage>,
    after: Duration,
}

impl TimedOut {
    /// Gives each call, whatever its size, `after`.
    pub fn new(inner: Arc<dyn Storage>, after: Duration) -> Self {
        Self { inner, after }
    }

    fn late(&self, op: &'static str, key: Option<ObjectKey>) -> StorageError {
        let source = anyhow::anyhow!("no answer within {:?}", self.after);
        let backend = self.inner.name().into();
        StorageError { kind: FailureKind::Unavailable, op, backend, key, retry_after: None, source }
    }

    async fn each<T>(
        &self,
        op: &'static str,
        keys: Vec<ObjectKey>,
        answers: impl Future<Output = Vec<Result<T, StorageError>>> + Send,
    ) -> Vec<Result<T, StorageError>> {
        match tokio::time::timeout(self.after, answers).await {
            Ok(answers) => answers,
            Err(_) => keys.into_iter().map(|key| Err(self.late(op, Some(key)))).collect(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for TimedOut {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let keys = puts.iter().map(|put| put.key.clone()).collect();
        self.each("store", keys, self.inner.store(puts)).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let keys = gets.iter().map(|get| get.key.clone()).collect();
        self.each("retrieve", keys, self.inner.retrieve(gets)).await
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        self.each("stat", keys.to_vec(), self.inner.stat(keys)).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        self.each("delete", keys.to_vec(), self.inner.delete(keys)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn health(&self) -> Result<(), StorageError> {
        tokio::time::timeout(self.after, self.inner.health())
            .await
            .unwrap_or_else(|_| Err(self.late("health", None)))
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
