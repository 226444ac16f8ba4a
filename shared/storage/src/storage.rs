//! The trait. It is plural because a worker has a batch in hand, and a store may do better with it than one by one.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use n2s_domain::{SealedHash, Timestamp};

use crate::error::StorageError;
use crate::key::ObjectKey;

/// An object to store.
#[derive(Clone, Debug)]
pub struct Put {
    /// Its name.
    pub key: ObjectKey,
    /// Its bytes.
    pub body: Body,
    /// BLAKE3 of exactly these bytes.
    pub digest: SealedHash,
    /// Whether other bytes under the name may be replaced: only for `probe`, `head` and the like.
    pub overwrite: bool,
}

/// An object's bytes.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In memory, and the very same bytes, synced, in this local file, which a store may link instead of writing them again.
    /// Only staging may offer its files so: two stores that shared a file would be damaged together.
    File {
        /// The file; it does not change.
        path: PathBuf,
        /// Its bytes.
        bytes: Bytes,
    },
}

impl Body {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Bytes(bytes) | Self::File { bytes, .. } => bytes,
        }
    }
}

/// An object, or a part of one, to read.
#[derive(Clone, Debug)]
pub struct Get {
    /// Its name.
    pub key: ObjectKey,
    /// Which bytes; all without. At most `limits::SEALED_BYTES_MAX` of them.
    pub range: Option<Range<u64>>,
}

/// The acknowledgement of a put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What the store itself calls the object, where that is a name of its own (S3's key, with the prefix). It follows from the
    /// configuration and the object's name, so nobody has to keep it.
    pub key: Option<String>,
    /// Where, when it cannot be derived from the name.
    pub location: Option<String>,
    /// The store's own tag of the bytes (S3's ETag), where it gives one.
    pub etag: Option<String>,
    /// The version the store gave the object, where it keeps versions.
    pub version: Option<String>,
}

/// What a store says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its bytes.
    pub size: u64,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: ObjectKey,
    /// Its bytes.
    pub size: u64,
    /// When it was written, where the store knows.
    pub modified: Option<Timestamp>,
}

/// A store. Answers come in the order of the questions, and one bad item fails alone.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// The configured name.
    fn name(&self) -> &str;

    /// Stores objects: all of an object or nothing, durable before it answers. Storing the same bytes under the same name
    /// again succeeds; other bytes are `Corrupt` unless `overwrite`. Dropping the future leaves nothing half-visible.
    async fn store(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>>;

    /// The same for names that nobody knows until this has answered: a store may write under them at once. What it could not
    /// finish may be left behind as an object that nobody asks for.
    async fn store_fresh(&self, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
        self.store(puts).await
    }

    /// Reads objects; `NotFound` for the absent.
    async fn retrieve(&self, gets: Vec<Get>) -> Vec<Result<Bytes, StorageError>>;

    /// Says how long each object is; `None` for the absent, and an error for anything else.
    async fn stat(&self, keys: &[ObjectKey]) -> Vec<Result<Option<Stat>, StorageError>>;

    /// Deletes objects; deleting the absent succeeds.
    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>>;

    /// Every object whose name begins with `prefix` and a `/`, in no particular order; every object at all where `prefix` is empty.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed, StorageError>>;

    /// Overwrites and reads back `probe`.
    async fn health(&self) -> Result<(), StorageError>;

    /// Where a person could fetch the object, if the store has such addresses.
    fn url(&self, key: &ObjectKey) -> Option<String>;

    /// The local file that is the object, if it is one. Staging offers it to stores on the same file system: see [`Body::File`].
    fn local_path(&self, key: &ObjectKey) -> Option<PathBuf>;

    /// Removes what writers that died have left half-written and that did not change since `before`; says how many. Objects are
    /// never touched. Choose `before` well past the longest write. A store whose servers clean up by themselves has nothing to do.
    async fn sweep(&self, before: Timestamp) -> Result<usize, StorageError> {
        let _ = before;
        Ok(0)
    }
}

/// The comfortable singular; nobody implements it.
#[async_trait]
pub trait StorageExt: Storage {
    /// Stores one object.
    async fn put(&self, put: Put) -> Result<Stored, StorageError> {
        self.store(vec![put]).await.pop().expect("one answer per question")
    }

    /// Reads one whole object.
    async fn get(&self, key: ObjectKey) -> Result<Bytes, StorageError> {
        self.retrieve(vec![Get { key, range: None }]).await.pop().expect("one answer per question")
    }

    /// Whether one object is there: one question, never a listing.
    async fn check_key_exists(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        let mut answers = self.stat(std::slice::from_ref(key)).await;
        Ok(answers.pop().expect("one answer per question")?.is_some())
    }
}

impl<S: Storage + ?Sized> StorageExt for S {}
