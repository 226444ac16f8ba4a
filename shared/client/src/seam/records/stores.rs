//! Stores, staging and datasets at a glance.

use n2s_domain::{BackendName, DatasetName, FailureKind, ProjectName, ProofLevel, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::seam::Moment;

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Every store.
    pub backends: Vec<BackendStatus>,
    /// What waits.
    pub staging: StagingTotals,
    /// Every dataset.
    pub datasets: Vec<DatasetStatus>,
}

/// What lies in staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagingTotals {
    /// Sealed blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetStatus {
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Its name.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// Its latest version, once there is one.
    #[schema(value_type = Option<u64>)]
    pub head: Option<Version>,
    /// Its stores.
    #[schema(value_type = Vec<String>)]
    pub backends: Vec<BackendName>,
}

/// Whether a store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreState {
    /// It is.
    Active,
    /// Nothing is sent to it; `reason` says why.
    Paused,
    /// It does not answer; it is tried again by itself.
    Unreachable,
}

impl StoreState {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A store with its totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// What it is.
    pub kind: String,
    /// Whether it is used.
    pub state: StoreState,
    /// Why not, and since when; empty when it is.
    pub reason: String,
    /// Since when it is not.
    #[schema(value_type = Option<String>)]
    pub since: Option<Moment>,
    /// Who paused it, where it is paused.
    pub paused_by: Option<PausedBy>,
    /// When it is asked again, where it does not answer.
    #[schema(value_type = Option<String>)]
    pub probe_at: Option<Moment>,
    /// The last error of any object or health check there, however long ago.
    pub last_error: Option<StoreError>,
    /// Blobs there.
    pub completed: u64,
    /// Blobs on their way.
    pub pending: u64,
    /// Blobs given up.
    pub failed: u64,
    /// Sealed bytes there.
    pub bytes: u64,
    /// When it was first written to.
    #[schema(value_type = Option<String>)]
    pub initialised_at: Option<Moment>,
    /// Objects under way that n2s allows it at once, over all its workers.
    pub concurrency: Option<u32>,
    /// Objects under way, as its workers last said.
    pub in_flight: u32,
    /// The workers that serve it.
    pub workers: Vec<LaneStatus>,
    /// The last object it acknowledged.
    #[schema(value_type = Option<String>)]
    pub last_success_at: Option<Moment>,
    /// Since when everything there is proven; nothing while something never was.
    #[schema(value_type = Option<String>)]
    pub proven_since: Option<Moment>,
    /// Copies found damaged and not replaced yet.
    pub damaged: u64,
    /// The last run of the validator that looked at everything there.
    pub last_validation: Option<ValidationStatus>,
}

/// Who paused a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PausedBy {
    /// A person, who has to resume it.
    Operator,
    /// A health check, which resumes it.
    Health,
}

/// An error of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreError {
    /// What kind it is.
    #[schema(value_type = String)]
    pub kind: FailureKind,
    /// What was wrong.
    pub message: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Moment,
}

/// A worker at a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneStatus {
    /// Its machine and process.
    pub worker: String,
    /// Since when it serves the store.
    #[schema(value_type = String)]
    pub since: Moment,
    /// Since when it takes no more, where it is ending.
    #[schema(value_type = Option<String>)]
    pub draining_since: Option<Moment>,
    /// Objects under way that it allows the store at once.
    pub concurrency: u32,
    /// Objects under way.
    pub in_flight: u32,
    /// What it decided last about `concurrency`, and why.
    pub why: String,
    /// When it did.
    #[schema(value_type = String)]
    pub decided_at: Moment,
    /// When it last said all this.
    #[schema(value_type = String)]
    pub reported_at: Moment,
}

/// A run of the validator over a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidationStatus {
    /// What was proven.
    #[schema(value_type = String)]
    pub level: ProofLevel,
    /// Its start.
    #[schema(value_type = String)]
    pub started_at: Moment,
    /// Its end, once it has ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Moment>,
    /// Copies looked at.
    pub checked: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Copies found damaged.
    pub damaged: u64,
    /// Copies that could not be looked at.
    pub unchecked: u64,
    /// Why it ended early.
    pub stopped: Option<String>,
}

/// A counter that differs from its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// Which.
    pub counter: String,
    /// Its value.
    pub kept: i64,
    /// What its rows say.
    pub counted: i64,
}
