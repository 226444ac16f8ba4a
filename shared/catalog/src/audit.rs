//! Recounting: every counter the catalog keeps, against the rows it stands for.

use async_trait::async_trait;

use crate::CatalogError;

/// A counter that does not agree with its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Which counter.
    pub counter: String,
    /// What it says.
    pub kept: i64,
    /// What the rows say.
    pub counted: i64,
}

/// The audit.
#[async_trait]
pub trait Audit {
    /// Recounts everything in one snapshot, deltas included, and what should not be there: pending
    /// placements without a job, waiters of completed ones. Must find nothing; scans all rows, so not for every day.
    async fn audit(&self) -> Result<Vec<Drift>, CatalogError>;
}
