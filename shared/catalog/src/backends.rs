//! Configured stores as the catalog knows them: identity, initialisation, health, pause, totals.

use std::time::Duration;

use async_trait::async_trait;
use n2s_domain::{BackendId, BackendName, Epoch, FailureKind, Timestamp, VaultId};

use crate::CatalogError;

/// A store's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRecord {
    /// Its surrogate id.
    pub id: BackendId,
    /// Its configured name.
    pub name: BackendName,
    /// `local`, `s3`, ….
    pub kind: String,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When `n2s.json` was written there. From then on its absence pauses the store.
    pub initialised_at: Option<Timestamp>,
    /// The one vault whose blobs it holds; set with `initialised_at`.
    pub vault: Option<VaultId>,
    /// Whether work goes there.
    pub state: BackendState,
    /// What is known of its health.
    pub health: BackendHealth,
}

/// Whether jobs are dispatched to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// They are.
    Active,
    /// They are not.
    Paused {
        /// True when an operator did it: then only an operator ends it. False when a health probe confirmed a denial or a
        /// wrong configuration: then the first good probe ends it.
        by_operator: bool,
        /// Why, and what to fix.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

/// What workers last reported; advisory, for people and for the next process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendHealth {
    /// Since when the breaker is open, and the next probe; `None` when it is closed.
    pub open: Option<(Timestamp, Timestamp)>,
    /// The last error's kind and words.
    pub last_error: Option<(FailureKind, String, Timestamp)>,
    /// The last acknowledged object.
    pub last_success_at: Option<Timestamp>,
    /// Operations the adaptive limit allows at once.
    pub concurrency: Option<u32>,
}

/// Totals of a store, kept as counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTally {
    /// Placements in each state.
    pub pending: u64,
    /// See `pending`.
    pub completed: u64,
    /// See `pending`.
    pub failed: u64,
    /// Sealed bytes of completed placements.
    pub bytes: u64,
}

/// Stores.
#[async_trait]
pub trait Backends {
    /// Makes sure each configured store has a row; returns the rows in the order given.
    async fn ensure_backends(
        &self,
        configured: &[(BackendName, String)],
    ) -> Result<Vec<BackendRecord>, CatalogError>;

    /// Every store that ever had a row, by name.
    async fn backends(&self) -> Result<Vec<(BackendRecord, BackendTally)>, CatalogError>;

    /// Notes that `n2s.json` of `vault` is on the store.
    async fn set_initialised(&self, backend: BackendId, vault: VaultId) -> Result<(), CatalogError>;

    /// The epochs whose key object is on the store.
    async fn placed_epochs(&self, backend: BackendId) -> Result<Vec<Epoch>, CatalogError>;

    /// Notes that an epoch's key object is on the store.
    async fn epoch_placed(&self, backend: BackendId, epoch: Epoch) -> Result<(), CatalogError>;

    /// Stops dispatching. A pause by an operator is not replaced by one of a probe.
    async fn pause(&self, backend: BackendId, by_operator: bool, reason: &str) -> Result<(), CatalogError>;

    /// Dispatches again. With `by_operator` false, ends only a pause that a probe had begun.
    async fn resume(&self, backend: BackendId, by_operator: bool) -> Result<(), CatalogError>;

    /// Records what a worker does at a store, and since when. Advisory, for people.
    async fn report_lane(&self, backend: BackendId, report: &LaneReport) -> Result<(), CatalogError>;

    /// Forgets a worker's lanes, and those that were silent for an hour.
    async fn forget_lanes(&self, worker: &str) -> Result<(), CatalogError>;

    /// The lanes that were heard of within [`LANE_SILENCE_MAX`], by store and worker.
    async fn lanes(&self) -> Result<Vec<LaneRecord>, CatalogError>;

    /// Records what a worker saw. `open_for` is the time to the next probe when the breaker is open.
    async fn report_health(&self, backend: BackendId, report: &HealthReport) -> Result<(), CatalogError>;
}

/// See [`Backends::report_health`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// Time to the next probe while the breaker is open.
    pub open_for: Option<Duration>,
    /// The latest error, if one is newer than the last report.
    pub error: Option<(FailureKind, String)>,
    /// Whether an object was acknowledged since the last report.
    pub success: bool,
    /// The adaptive limit.
    pub concurrency: Option<u32>,
}

/// A lane that was silent for this long is not shown: its worker has died. Lanes report three times as often.
pub const LANE_SILENCE_MAX: Duration = Duration::from_secs(90);
/// And after this it is forgotten.
pub const LANE_KEPT: Duration = Duration::from_hours(1);

/// See [`Backends::report_lane`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneReport {
    /// The worker, for people.
    pub worker: String,
    /// Whether it takes no more.
    pub draining: bool,
    /// Objects under way that its adaptive limit allows at once.
    pub limit: u32,
    /// Objects under way.
    pub in_flight: u32,
    /// What was decided last about the limit.
    pub why: String,
}

/// A worker at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRecord {
    /// The store.
    pub backend: BackendId,
    /// What was reported.
    pub report: LaneReport,
    /// Since when it serves the store.
    pub joined_at: Timestamp,
    /// Since when it takes no more.
    pub draining_at: Option<Timestamp>,
    /// When `why` became what it is.
    pub decided_at: Timestamp,
    /// The last report.
    pub reported_at: Timestamp,
}
