//! The catalog's book of what lies in staging.
//!
//! A row leaves staging before the object is deleted, so a crash in between leaves an object that no row names: an
//! orphan, which [`StagingBook::staged_orphans`] finds.

use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{BlobId, SealedHash};

use crate::CatalogError;

/// An object in staging: `<sealed_hash>.<id>`, the id fresh each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StagedKey {
    /// BLAKE3 of its bytes.
    pub sealed_hash: SealedHash,
    /// A random positive number.
    pub id: i64,
}

/// What lies in staging, and what may leave.
#[async_trait]
pub trait StagingBook {
    /// Of the given objects, those that no row names.
    async fn staged_orphans(&self, keys: &[StagedKey]) -> Result<Vec<StagedKey>, CatalogError>;

    /// Strikes out staged blobs that no pin, unfinished placement or live row has needed for `grace`; the caller deletes them.
    async fn free_unneeded(&self, grace: Duration, limit: u32) -> Result<Vec<StagedKey>, CatalogError>;

    /// Strikes out staged blobs that nobody has pinned and that at least one store has: staging is too full to wait for the
    /// others, which read them from there. The caller deletes them.
    async fn free_early(&self, limit: u32) -> Result<Vec<StagedKey>, CatalogError>;

    /// Strikes out objects found missing or damaged. A blob that thereby loses its last source becomes unsourced.
    async fn staging_lost(&self, keys: &[StagedKey]) -> Result<(), CatalogError>;

    /// Where a blob lies in staging, if it does.
    async fn staged(&self, blob: BlobId) -> Result<Option<StagedKey>, CatalogError>;

    /// Staged blobs and their sealed bytes.
    async fn staged_total(&self) -> Result<(u64, u64), CatalogError>;
}
