//! When a version is on a store, and when a changeset is settled.
//!
//! Transactions that finish placements never touch a changeset's row: they append deltas. One folder adds them up,
//! creates the manifest job of a store where nothing is waited for any more, and fires completion by compare-and-set on
//! (changeset, generation). The rule is `n2s_domain::changeset::settle`.

use async_trait::async_trait;
use n2s_domain::{ChangesetId, ChangesetStatus};

use crate::CatalogError;

/// A changeset that reached a final status in this fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub changeset: ChangesetId,
    /// `Completed`, `Degraded` or `Failed`.
    pub status: ChangesetStatus,
}

/// Completion.
#[async_trait]
pub trait Completion {
    /// Adds up to `limit` deltas. Returns what settled, and whether anything was folded (call again while it was).
    async fn fold(&self, limit: u32) -> Result<(Vec<Settled>, bool), CatalogError>;
}
