//! Stores, staging and datasets at a glance.

use n2s_domain::{BackendName, DatasetName, ProjectName, ProofLevel, Version};
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
    /// Objects under way that n2s allows it at once.
    pub concurrency: Option<u32>,
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
