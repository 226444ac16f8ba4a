//! Counts and logs what goes through a store: calls, objects, bytes, durations and failures by kind. The one place where that is done,
//! whatever the store and whoever asks.
//!
//! Put it outside `TimedOut` and `Verified`, whose verdicts then count, and inside `Limited`, whose waits then do not.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use n2s_domain::Timestamp;

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::meter::{Meter, Operation, Running};
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// A store that counts.
#[derive(Clone, Debug)]
pub struct Metered {
    inner: Arc<dyn Storage>,
    meter: Arc<Meter>,
}

impl Metered {
    /// Counts under this name. The bucket, where there is one, is for the log.
    pub fn new(inner: Arc<dyn Storage>, name: &str, bucket: Option<String>) -> Self {
        let meter = Meter::new(name, bucket);
        Self { inner, meter }
    }

    fn storing(&self, puts: &[Put]) -> Running {
        let objects = puts.iter().map(|put| (put.key.clone(), Some(put.body.bytes().len() as u64)));
        self.meter.begin(Operation::Store, objects)
    }

    fn about(&self, operation: Operation, keys: &[ObjectKey]) -> Running {
        self.meter.begin(operation, keys.iter().map(|key| (key.clone(), None)))
    }

    fn whole(&self, operation: Operation) -> Running {
        self.meter.begin(operation, [])
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Metered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let running = self.storing(&puts);
        let sizes: Vec<u64> = puts.iter().map(|put| put.body.bytes().len() as u64).collect();
        let answers = self.inner.store(puts).await;
        running.answered(&answers, |place, _| sizes[place]);
        answers
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let running = self.storing(&puts);
        let sizes: Vec<u64> = puts.iter().map(|put| put.body.bytes().len() as u64).collect();
        let answers = self.inner.store_fresh(puts).await;
        running.answered(&answers, |place, _| sizes[place]);
        answers
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let objects = gets.iter().map(|get| (get.key.clone(), None));
        let running = self.meter.begin(Operation::Retrieve, objects);
        let answers = self.inner.retrieve(gets).await;
        running.answered(&answers, |_, bytes| bytes.len() as u64);
        answers
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let running = self.about(Operation::Stat, keys);
        let answers = self.inner.stat(keys).await;
        running.answered(&answers, |_, _| 0);
        answers
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let running = self.about(Operation::Delete, keys);
        let answers = self.inner.delete(keys).await;
        running.answered(&answers, |_, ()| 0);
        answers
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        let running = self.whole(Operation::List);
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
        let running = self.whole(Operation::Health);
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
        let running = self.whole(Operation::Sweep);
        let answer = self.inner.sweep(before).await;
        running.answered([&answer], |_, _| 0);
        answer
    }
}
