//! Whole objects named by their digest are checked against it on the way back: a store that lies is `Corrupt`, not believed.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::{FailureKind, Timestamp};

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::layout::parse_blob;
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// See the module.
#[derive(Clone, Debug)]
pub struct Verified(pub Arc<dyn Storage>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Verified {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.0.store(puts).await
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.0.store_fresh(puts).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let named: Vec<_> = gets.iter().map(|get| (get.key.clone(), get.range.is_none())).collect();
        let answers = self.0.retrieve(gets).await;
        let check = |(answer, (key, whole)): (Result<Bytes, StorageError>, (ObjectKey, bool))| {
            let bytes = answer?;
            match parse_blob(&key).filter(|_| whole) {
                Some(digest) if blake3::hash(&bytes).as_bytes() != digest.as_bytes() => Err(StorageError {
                    kind: FailureKind::Corrupt,
                    op: "retrieve",
                    backend: self.0.name().into(),
                    key: Some(key),
                    retry_after: None,
                    source: anyhow::anyhow!(
                        "the {} bytes it gave are not those the name stands for",
                        bytes.len()
                    ),
                }),
                _ => Ok(bytes),
            }
        };
        answers.into_iter().zip(named).map(check).collect()
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        self.0.stat(keys).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        self.0.delete(keys).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.0.list(prefix)
    }

    async fn health(&self) -> Result<(), StorageError> {
        self.0.health().await
    }

    fn url(&self, key: &ObjectKey) -> Option<String> {
        self.0.url(key)
    }

    fn local_path(&self, key: &ObjectKey) -> Option<PathBuf> {
        self.0.local_path(key)
    }

    async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        self.0.sweep(before).await
    }
}
