//! A store that moves no more bytes a second than its owner wants: whoever shares a line with people cannot have all of it.
//!
//! Put it outside `TimedOut` and `Metered`: waiting for one's turn is not the store's slowness. How many operations go at once is not its
//! matter: the worker finds that out, and a bucket has its `pool_size`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::Timestamp;
use tokio::time::Instant;

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// A store within a budget of bytes, both ways together. What moves no object's bytes waits for nothing.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Storage>,
    bytes_per_sec: u64,
    /// When all that has moved is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Limited {
    /// Holds `inner` to so many bytes a second; zero counts as one.
    pub fn new(inner: Arc<dyn Storage>, bytes_per_sec: u64) -> Self {
        Self { inner, bytes_per_sec: bytes_per_sec.max(1), paid_at: Mutex::new(None) }
    }

    /// Batches that take about a second each, an object at least, so that the budget is not spent in one burst.
    fn portions(&self, puts: Vec<Put>) -> Vec<Vec<Put>> {
        let mut portions: Vec<Vec<Put>> = Vec::new();
        let mut room = 0;
        for put in puts {
            let bytes = put.body.bytes().len() as u64;
            if let Some(portion) = portions.last_mut().filter(|_| bytes <= room) {
                portion.push(put);
            } else {
                portions.push(vec![put]);
                room = self.bytes_per_sec;
            }
            room = room.saturating_sub(bytes);
        }
        portions
    }

    /// Waits until what moved before is paid for, and puts `bytes` on the account.
    async fn spend(&self, bytes: u64) {
        let free_at = self.owe(bytes);
        tokio::time::sleep_until(free_at).await;
    }

    /// Puts `bytes` on the account; says when what was there before is paid for.
    fn owe(&self, bytes: u64) -> Instant {
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.bytes_per_sec);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free_at = paid_at.map_or(now, |paid_at| paid_at.max(now));
        *paid_at = Some(free_at.checked_add(cost).unwrap_or(free_at));
        free_at
    }
}

fn bytes_of(puts: &[Put]) -> u64 {
    puts.iter().map(|put| put.body.bytes().len() as u64).sum()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Limited {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let mut answers = Vec::with_capacity(puts.len());
        for portion in self.portions(puts) {
            self.spend(bytes_of(&portion)).await;
            answers.extend(self.inner.store(portion).await);
        }
        answers
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let mut answers = Vec::with_capacity(puts.len());
        for portion in self.portions(puts) {
            self.spend(bytes_of(&portion)).await;
            answers.extend(self.inner.store_fresh(portion).await);
        }
        answers
    }

    /// How much it is shows only afterwards: it is then owed, and whoever comes next waits for it.
    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        self.spend(0).await;
        let answers = self.inner.retrieve(gets).await;
        self.owe(answers.iter().flatten().map(|bytes| bytes.len() as u64).sum());
        answers
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        self.inner.stat(keys).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        self.inner.delete(keys).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn health(&self) -> Result<(), StorageError> {
        self.inner.health().await
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
