//! A bucket on AWS S3 or a server that speaks its protocol.
//!
//! Every request is one object's, in memory, of at most `limits::SEALED_BYTES_MAX` bytes, so none needs streams, parts or resumption; a
//! batch is many requests side by side, as many as `pool_size` allows over all batches together. Rejected: a generic object-store
//! library. It would hide the parts that matter here, which are the error codes, Retry-After and what a server does with a condition.
//!
//! `request` sends one request, `failure` and `verdict` say what became of it, `habits` finds out what the server can do.

mod address;
mod client;
mod delete;
mod failure;
mod habits;
mod options;
mod put;
mod read;
mod request;
mod retry_after;
mod verdict;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use n2s_domain::FailureKind;
use n2s_storage::{Get, Listed, ObjectKey, Put, Stat, Storage, StorageError, Stored, layout};
use tokio::sync::{OnceCell, Semaphore};

use address::Addresses;
use failure::Failure;
use habits::Habits;
pub use options::{InvalidS3Options, S3Options, SecretKey};

/// How long a signed address may be good for, by S3's rules.
pub const PRESIGNED_MAX: Duration = Duration::from_hours(7 * 24);

/// See the module.
#[derive(Clone)]
pub struct S3Store(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    client: Client,
    options: S3Options,
    addresses: Addresses,
    /// One for each request that may be under way; whoever sends holds it from before the connection to the end of the answer.
    permits: Semaphore,
    habits: OnceCell<Habits>,
    bucket_seen: AtomicBool,
    no_bulk_delete: AtomicBool,
}

impl S3Store {
    /// A store in the bucket of `options`. Sends nothing: each operation finds out whether the bucket is there.
    /// Options that cannot work are refused.
    pub fn new(name: &str, options: S3Options) -> Result<Self, InvalidS3Options> {
        options.check()?;
        Ok(Self(Arc::new(Inner {
            name: name.into(),
            client: client::client(&options),
            addresses: Addresses::new(&options),
            permits: Semaphore::new(options.pool_size),
            habits: OnceCell::new(),
            bucket_seen: AtomicBool::new(false),
            no_bulk_delete: AtomicBool::new(false),
            options,
        })))
    }

    /// An address anybody can fetch the object from for `ttl`, at most [`PRESIGNED_MAX`]. It is made here, without asking the server, whether
    /// the object is there or not.
    pub async fn presigned_url(&self, key: &ObjectKey, ttl: Duration) -> Result<String, StorageError> {
        let inner = &self.0;
        let signed = async {
            let wrong = || {
                let cause = anyhow!("a signed address is good for one second to seven days");
                Failure::new(FailureKind::Misconfigured, cause)
            };
            if ttl < Duration::from_secs(1) {
                return Err(wrong());
            }
            let config = PresigningConfig::expires_in(ttl).map_err(|_| wrong())?;
            let get = inner.client.get_object().bucket(&inner.options.bucket).key(inner.addresses.name(key));
            get.presigned(config).await.map_err(|error| Failure::of(&error))
        };
        let signed = signed.await.map_err(|failure| inner.error("url", Some(key), failure))?;
        Ok(signed.uri().to_owned())
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for S3Store {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        let puts: Vec<_> = puts.into_iter().map(|put| self.0.put(put)).collect();
        stream::iter(puts).buffered(self.0.options.pool_size).collect().await
    }

    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>> {
        let gets: Vec<_> = gets.into_iter().map(|get| self.0.get(get)).collect();
        stream::iter(gets).buffered(self.0.options.pool_size).collect().await
    }

    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>> {
        let stat = |key: ObjectKey| async move {
            self.0.stat(&key).await.map_err(|failure| self.0.error("stat", Some(&key), failure))
        };
        let stats: Vec<_> = keys.iter().cloned().map(stat).collect();
        stream::iter(stats).buffered(self.0.options.pool_size).collect().await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        self.0.delete(keys).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>> {
        let prefix = self.0.addresses.listing(prefix);
        // `Some(None)` asks for the first page, `Some(Some(_))` for a later one, `None` for no more.
        let pages = stream::try_unfold(Some(None), move |from: Option<Option<String>>| {
            let prefix = prefix.clone();
            async move {
                let Some(from) = from else { return Ok(None) };
                let page = self.0.page(&prefix, from).await?;
                Ok(Some((stream::iter(page.listed.into_iter().map(Ok)), page.next.map(Some))))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn health(&self) -> Result<(), StorageError> {
        let probe = async {
            let proof = self.0.habits().await?.proof;
            self.0.write(put::Request { proof, ..put::Request::probe(put::PROBE) }).await?;
            match self.0.read(&layout::probe(), None).await? {
                read if read.bytes == put::PROBE => Ok(()),
                _ => {
                    Err(Failure::new(FailureKind::Corrupt, anyhow!("it gave back other bytes than it took")))
                }
            }
        };
        probe.await.map_err(|failure| self.0.error("health", Some(&layout::probe()), failure))
    }

    fn url(&self, key: &ObjectKey) -> Option<String> {
        Some(self.0.addresses.url(key))
    }

    fn local_path(&self, _: &ObjectKey) -> Option<PathBuf> {
        None
    }
}
