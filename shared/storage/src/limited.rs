//! A store that is asked for no more than its owner wants: so many operations at a time, so many bytes a second.
//!
//! Put it outside `TimedOut` and `Metered`: waiting for one's turn is not the store's slowness.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// What a store may be asked for; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time; zero counts as one.
    pub operations: Option<usize>,
    /// Bytes per second, both ways together; zero counts as one.
    pub bytes_per_sec: Option<u64>,
}

/// A store within limits. Health checks wait for no one, since they must tell of the store and not of its limits; nor do listings,
/// whose reader may call the store for each object and would wait for himself.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Storage>,
    turns: Semaphore,
    budget: Option<Budget>,
}

/// Bytes that may move, paid for by waiting.
#[derive(Debug)]
struct Budget {
    bytes_per_sec: u64,
    /// When all that has moved is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Limited {
    /// Holds the calls to `inner` within `limits`.
    pub fn new(inner: Arc<dyn Storage>, limits: Limits) -> Self {
        let turns = limits.operations.unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        let budget = limits
            .bytes_per_sec
            .map(|bytes| Budget { bytes_per_sec: bytes.max(1), paid_at: Mutex::new(None) });
        Self { inner, turns: Semaphore::new(turns), budget }
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("nobody closes it")
    }

    /// Batches that take about a second each, an object at least, so that the budget is not spent in one burst.
    fn portions(&self, puts: Vec<Put>) -> Vec<Vec<Put>> {
        let Some(budget) = &self.budget else { return vec![puts] };
        let mut portions: Vec<Vec<Put>> = Vec::new();
        let mut room = 0;
        for put in puts {
            let bytes = put.body.bytes().len() as u64;
            if let Some(portion) = portions.last_mut().filter(|_| bytes <= room) {
                portion.push(put);
            } else {
                portions.push(vec![put]);
                room = budget.bytes_per_sec;
            }
            room = room.saturating_sub(bytes);
        }
        portions
    }
}

impl Budget {
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

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Limited {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let _turn = self.turn().await;
        let mut answers = Vec::with_capacity(puts.len());
        for portion in self.portions(puts) {
            if let Some(budget) = &self.budget {
                budget.spend(portion.iter().map(|put| put.body.bytes().len() as u64).sum()).await;
            }
            answers.extend(self.inner.store(portion).await);
        }
        answers
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let _turn = self.turn().await;
        let mut answers = Vec::with_capacity(puts.len());
        for portion in self.portions(puts) {
            if let Some(budget) = &self.budget {
                budget.spend(portion.iter().map(|put| put.body.bytes().len() as u64).sum()).await;
            }
            answers.extend(self.inner.store_fresh(portion).await);
        }
        answers
    }

    /// How much it is shows only afterwards: it is then owed, and whoever comes next waits for it.
    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let _turn = self.turn().await;
        if let Some(budget) = &self.budget {
            budget.spend(0).await;
        }
        let answers = self.inner.retrieve(gets).await;
        if let Some(budget) = &self.budget {
            let _ = budget.owe(answers.iter().flatten().map(|bytes| bytes.len() as u64).sum());
        }
        answers
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let _turn = self.turn().await;
        self.inner.stat(keys).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let _turn = self.turn().await;
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
        let _turn = self.turn().await;
        self.inner.sweep(before).await
    }
}
