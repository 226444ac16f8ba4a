//! A store in memory that answers by the book.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use n2s_domain::FailureKind;
use n2s_storage::{Get, Listed, ObjectKey, Put, Stat, Storage, StorageError, Stored};

/// How it answers a put.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// At once.
    Fast,
    /// After so long.
    After(Duration),
    /// After so long, for so many at once; the rest is refused.
    Crowd(Duration, u32),
    /// The one, then the other, in turns of so many seconds.
    Changing(Duration, u32, u64),
    /// It refuses the connection.
    Dead,
    /// It never answers.
    Hangs,
}

/// See the module.
#[derive(Debug)]
pub struct Model {
    name: String,
    manner: Manner,
    objects: Mutex<HashMap<ObjectKey, Bytes>>,
    serving: AtomicU32,
    began: Instant,
    /// Blobs stored, and puts refused.
    pub stored: AtomicU64,
    pub refused: AtomicU64,
    /// Microseconds that puts took which were not refused: what it grows by in a second is how many were served at once.
    pub serving_us: AtomicU64,
}

impl Model {
    pub fn new(name: &str, manner: Manner) -> Self {
        Self {
            name: name.to_owned(),
            manner,
            objects: Mutex::default(),
            serving: AtomicU32::new(0),
            began: Instant::now(),
            stored: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            serving_us: AtomicU64::new(0),
        }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectKey, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, kind: FailureKind, op: &'static str) -> StorageError {
        self.refused.fetch_add(1, Relaxed);
        StorageError {
            kind,
            op,
            backend: self.name.as_str().into(),
            key: None,
            retry_after: None,
            source: anyhow::anyhow!("by the book"),
        }
    }

    async fn answer(&self, op: &'static str) -> Result<(), StorageError> {
        match self.manner {
            Manner::Fast => Ok(()),
            Manner::After(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Manner::Crowd(wait, most) => self.crowd(wait, most, op).await,
            Manner::Changing(wait, most, secs) => {
                let throttles = (self.began.elapsed().as_secs() / secs) % 2 == 1;
                self.crowd(wait, if throttles { most } else { u32::MAX }, op).await
            }
            Manner::Dead => Err(self.refuse(FailureKind::Unavailable, op)),
            Manner::Hangs => std::future::pending().await,
        }
    }

    async fn crowd(&self, wait: Duration, most: u32, op: &'static str) -> Result<(), StorageError> {
        if self.serving.fetch_add(1, Relaxed) >= most {
            self.serving.fetch_sub(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Err(self.refuse(FailureKind::Throttled, op));
        }
        tokio::time::sleep(wait).await;
        self.serving.fetch_sub(1, Relaxed);
        Ok(())
    }

    async fn put(&self, put: Put) -> Result<Stored, StorageError> {
        let began = Instant::now();
        self.answer("store").await?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.serving_us.fetch_add(took, Relaxed);
        if put.key.as_str().starts_with("blobs/") {
            self.stored.fetch_add(1, Relaxed);
        }
        self.objects().insert(put.key, put.body.bytes().clone());
        Ok(Stored::default())
    }

    fn get(&self, key: &ObjectKey) -> Result<Bytes, StorageError> {
        self.objects().get(key).cloned().ok_or_else(|| StorageError {
            kind: FailureKind::NotFound,
            op: "retrieve",
            backend: self.name.as_str().into(),
            key: Some(key.clone()),
            retry_after: None,
            source: anyhow::anyhow!("it is not there"),
        })
    }
}

#[async_trait]
impl Storage for Model {
    fn name(&self) -> &str {
        &self.name
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        futures_util::future::join_all(puts.into_iter().map(|put| self.put(put))).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        match self.manner {
            Manner::Dead => {
                gets.iter().map(|_| Err(self.refuse(FailureKind::Unavailable, "retrieve"))).collect()
            }
            Manner::Hangs => std::future::pending().await,
            _ => gets.iter().map(|get| self.get(&get.key)).collect(),
        }
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let size = |key: &ObjectKey| self.objects().get(key).map(|bytes| Stat { size: bytes.len() as u64 });
        keys.iter().map(|key| Ok(size(key))).collect()
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let mut objects = self.objects();
        for key in keys {
            objects.remove(key);
        }
        keys.iter().map(|_| Ok(())).collect()
    }

    fn list(&self, _prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        stream::empty().boxed()
    }

    async fn health(&self) -> Result<(), StorageError> {
        match self.manner {
            Manner::Dead | Manner::Hangs => self.answer("health").await,
            _ => Ok(()),
        }
    }

    fn url(&self, _key: &ObjectKey) -> Option<String> {
        None
    }

    fn local_path(&self, _key: &ObjectKey) -> Option<std::path::PathBuf> {
        None
    }
}
