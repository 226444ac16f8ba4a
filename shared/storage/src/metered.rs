//! Counts what goes through a store: calls, objects, bytes, durations and failures by kind.
//!
//! Put it outside `TimedOut` and `Verified`, whose verdicts then count, and inside `Limited`, whose waits then do not. Rejected: a
//! metrics library's counters here, which would tie every store to how one program shows its numbers.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use n2s_domain::Timestamp;

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::meter::{Meter, Operation};
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// A store that counts.
#[derive(Clone, Debug)]
pub struct Metered {
    inner: Arc<dyn Storage>,
    meter: Arc<Meter>,
}

impl Metered {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        let meter = Arc::new(Meter::new(inner.name()));
        Self { inner, meter }
    }

    /// The numbers, to be kept by whoever shows them.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Metered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let running = self.meter.begin(Operation::Store);
        let sizes: Vec<u64> = puts.iter().map(|put| put.body.bytes().len() as u64).collect();
        let answers = self.inner.store(puts).await;
        running.answered(&answers, |place, _| sizes[place]);
        answers
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let running = self.meter.begin(Operation::Store);
        let sizes: Vec<u64> = puts.iter().map(|put| put.body.bytes().len() as u64).collect();
        let answers = self.inner.store_fresh(puts).await;
        running.answered(&answers, |place, _| sizes[place]);
        answers
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let running = self.meter.begin(Operation::Retrieve);
        let answers = self.inner.retrieve(gets).await;
        running.answered(&answers, |_, bytes| bytes.len() as u64);
        answers
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let running = self.meter.begin(Operation::Stat);
        let answers = self.inner.stat(keys).await;
        running.answered(&answers, |_, _| 0);
        answers
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let running = self.meter.begin(Operation::Delete);
        let answers = self.inner.delete(keys).await;
        running.answered(&answers, |_, ()| 0);
        answers
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        let running = self.meter.begin(Operation::List);
        stream::unfold((self.inner.list(prefix), Some(running)), |(mut listing, mut running)| async move {
            let Some(answer) = listing.next().await else {
                if let Some(running) = running.take() {
                    running.answered::<Listed>(&[], |_, _| 0);
                }
                return None;
            };
            if let Some(running) = &running {
                running.object(&answer);
            }
            Some((answer, (listing, running)))
        })
        .boxed()
    }

    async fn health(&self) -> Result<(), StorageError> {
        let running = self.meter.begin(Operation::Health);
        let answer = self.inner.health().await;
        running.answered([&answer], |_, ()| 0);
        answer
    }

    fn url(&self, key: &ObjectKey) -> Option<String> {
        self.inner.url(key)
    }

    fn local_path(&self, key: &ObjectKey) -> Option<PathBuf> {
        self.inner.local_path(key)
    }

    async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        let running = self.meter.begin(Operation::Sweep);
        let answer = self.inner.sweep(before).await;
        running.answered([&answer], |_, _| 0);
        answer
    }
}
