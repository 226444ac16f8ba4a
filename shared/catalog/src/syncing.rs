//! Bringing a dataset to a store that it was not on from the start.
//!
//! A dataset's set of stores is fixed by its first push. A sync adds one: later pushes go there, too, and the head is made whole
//! there, blob by blob, from wherever else it lies. Versions before the head stay where they are: a store that has the head
//! has every path of it, and histories are what the older stores are for.

use async_trait::async_trait;
use n2s_domain::{BackendName, ChangesetId, DatasetName, ProjectName};

use crate::CatalogError;

/// One step of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncStep {
    /// Where the next step begins; `None` when all is placed.
    pub next: Option<i64>,
    /// Uploads this step set going.
    pub jobs: u64,
}

/// See the module.
#[async_trait]
pub trait Syncing {
    /// Makes the store one of the dataset's, and begins to make the head whole on it. `None` when there is nothing to bring over:
    /// nothing is committed, or the head is whole there, or will be without further work. Safe to repeat; an interrupted sync
    /// goes on.
    async fn begin_sync(
        &self,
        project: &ProjectName,
        dataset: &DatasetName,
        backend: &BackendName,
    ) -> Result<Option<ChangesetId>, CatalogError>;

    /// Asks for the blobs of up to `limit` of the changeset's paths from `from` on; 0 at first.
    async fn sync_step(
        &self,
        changeset: ChangesetId,
        backend: &BackendName,
        from: i64,
        limit: u32,
    ) -> Result<SyncStep, CatalogError>;

    /// All is asked for: from here on the manifest follows by itself.
    async fn end_sync(&self, changeset: ChangesetId, backend: &BackendName) -> Result<(), CatalogError>;
}
