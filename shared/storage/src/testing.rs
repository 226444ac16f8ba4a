//! A store that fails, lies and hangs as a test tells it to, around one that works.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::{FailureKind, Timestamp};

use crate::error::StorageError;
use crate::key::ObjectKey;
use crate::storage::{Get, Listed, Put, Stat, Storage, Stored};

/// What goes wrong, for the keys a filter picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with this kind, probes included.
    Fails(FailureKind),
    /// Retrieved bytes come back with their first byte changed.
    Lies,
    /// Retrieved bytes lack their second half.
    StopsEarly,
    /// The operation never answers.
    Hangs,
}

type Filter = Box<dyn Fn(&str, &str) -> Option<Fault> + Send>;

/// See the module.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    script: Mutex<Filter>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({})", self.inner.name())
    }
}

impl Faulty {
    /// A store without faults so far.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, script: Mutex::new(Box::new(|_, _| None)) }
    }

    /// From now on `script` decides, given the operation (`store`, `retrieve`, …) and the key.
    pub fn script(&self, script: impl Fn(&str, &str) -> Option<Fault> + Send + 'static) {
        *self.script.lock().expect("no test panics holding this") = Box::new(script);
    }

    async fn fault(&self, op: &'static str, key: Option<&ObjectKey>) -> Result<Option<Fault>, StorageError> {
        let fault =
            (self.script.lock().expect("no test panics holding this"))(op, key.map_or("", ObjectKey::as_str));
        match fault {
            None | Some(Fault::Lies | Fault::StopsEarly) => Ok(fault),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Fails(kind)) => Err(StorageError {
                kind,
                op,
                backend: self.inner.name().into(),
                key: key.cloned(),
                retry_after: None,
                source: anyhow::anyhow!("the test said so"),
            }),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Storage for Faulty {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let mut answers = Vec::new();
        for put in puts {
            answers.push(match self.fault("store", Some(&put.key)).await {
                Ok(_) => self.inner.store(vec![put]).await.remove(0),
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.store(puts).await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let mut answers = Vec::new();
        for get in gets {
            let answer = match self.fault("retrieve", Some(&get.key)).await {
                Ok(fault) => {
                    let answer = self.inner.retrieve(vec![get]).await.remove(0);
                    answer.map(|bytes| match fault {
                        Some(Fault::Lies) => flip(&bytes),
                        Some(Fault::StopsEarly) => bytes.slice(..bytes.len() / 2),
                        _ => bytes,
                    })
                }
                Err(error) => Err(error),
            };
            answers.push(answer);
        }
        answers
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let mut answers = Vec::new();
        for key in keys {
            answers.push(match self.fault("stat", Some(key)).await {
                Ok(_) => self.inner.stat(std::slice::from_ref(key)).await.remove(0),
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let mut answers = Vec::new();
        for key in keys {
            answers.push(match self.fault("delete", Some(key)).await {
                Ok(_) => self.inner.delete(std::slice::from_ref(key)).await.remove(0),
                Err(error) => Err(error),
            });
        }
        answers
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn health(&self) -> Result<(), StorageError> {
        self.fault("health", None).await?;
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

fn flip(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    if let Some(first) = changed.first_mut() {
        *first ^= 1;
    }
    changed.into()
}
