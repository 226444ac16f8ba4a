//! Stores that keep nothing: what a fleet can do is measured without what its stores take, or with exactly so much of it.
//!
//! They are not a kind of store of the product, where nobody could want one: the roles measured here are processes of this program, made of
//! the product's libraries.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use n2s_domain::{FailureKind, SealedHash};
use n2s_storage::{Get, Listed, ObjectKey, Put, Stat, Storage, StorageError, Stored, layout};

use crate::clock;

/// What every store of these says that it is.
pub const MARKER: &[u8] = b"the marker of the load test's vault";

/// The bytes of a sealed object by the number it has in staging: nothing needs to be kept to read it.
pub fn content(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_le_bytes().repeat(16))
}

/// Their digest.
pub fn sealed(id: i64) -> SealedHash {
    SealedHash(*blake3::hash(&content(id)).as_bytes())
}

/// See the module.
#[derive(Debug)]
pub struct NoStore {
    name: String,
    /// How long it takes to answer a put of any size.
    delay: Duration,
    /// When which object came: 8 bytes of its number and 8 of the time, each.
    trace: Option<Mutex<File>>,
}

impl NoStore {
    /// A store that answers a put after `delay` and writes to `trace` what came when.
    pub fn new(name: &str, delay: Duration, trace: Option<File>) -> Self {
        Self { name: name.to_owned(), delay, trace: trace.map(Mutex::new) }
    }

    fn note(&self, puts: &[Put]) {
        let Some(trace) = &self.trace else { return };
        let now = clock::nanos().to_le_bytes();
        let mut lines = Vec::with_capacity(puts.len() * 16);
        for put in puts {
            lines.extend_from_slice(put.body.bytes().get(..8).unwrap_or(&[0; 8]));
            lines.extend_from_slice(&now);
        }
        let mut trace = trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = trace.write_all(&lines) {
            tracing::error!(%error, "the trace is incomplete");
        }
    }

    fn read(&self, key: &ObjectKey) -> Result<Bytes, StorageError> {
        if *key == layout::marker() {
            return Ok(Bytes::from_static(MARKER));
        }
        let number = key.as_str().strip_prefix("staging/").and_then(|name| name.rsplit('.').next());
        let number = number.and_then(|number| i64::from_str_radix(number, 16).ok());
        number.map(content).ok_or_else(|| StorageError {
            kind: FailureKind::NotFound,
            op: "retrieve",
            backend: self.name.as_str().into(),
            key: Some(key.clone()),
            retry_after: None,
            source: std::io::Error::from(std::io::ErrorKind::NotFound).into(),
        })
    }
}

#[async_trait]
impl Storage for NoStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.note(&puts);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        puts.iter().map(|_| Ok(Stored::default())).collect()
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        gets.iter().map(|get| self.read(&get.key)).collect()
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        keys.iter()
            .map(|key| Ok(self.read(key).ok().map(|bytes| Stat { size: bytes.len() as u64 })))
            .collect()
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        keys.iter().map(|_| Ok(())).collect()
    }

    fn list(&self, _prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        stream::empty().boxed()
    }

    async fn health(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn url(&self, _key: &ObjectKey) -> Option<String> {
        None
    }

    fn local_path(&self, _key: &ObjectKey) -> Option<PathBuf> {
        None
    }
}
