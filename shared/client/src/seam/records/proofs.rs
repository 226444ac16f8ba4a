//! Proving what the stores hold, what was found damaged, and bringing a dataset to a store it was not on.

use n2s_domain::{
    BackendName, ChangesetId, DatasetName, FailureKind, ProjectName, ProofLevel, RelPath, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::seam::Moment;

/// What to prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateRequest {
    /// Of this project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Of this dataset, all versions.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// On this store; on all of the dataset's without.
    #[schema(value_type = Option<String>)]
    pub backend: Option<BackendName>,
    /// How thoroughly: `exists`, `sealed` or `content`, which opens everything and needs the vault.
    #[schema(value_type = String)]
    pub level: ProofLevel,
    /// Of every store's copies one in so many, those whose proof is oldest.
    pub one_in: u64,
    /// Bytes read from each store in a second; absent is as fast as it goes.
    pub bytes_per_sec: Option<u64>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofProgress {
    /// Copies to look at, as far as that is known.
    pub copies_total: u64,
    /// Bytes to read, as far as that is known.
    pub bytes_total: u64,
    /// Copies looked at.
    pub copies: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Damaged ones.
    pub damaged: u64,
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidateReport {
    /// Store by store.
    pub stores: Vec<StoreProof>,
}

/// What a run found on one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreProof {
    /// The store.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// Copies that were looked at with an answer.
    pub checked: u64,
    /// The bytes of those whose bytes were read.
    pub bytes: u64,
    /// Copies found damaged, of which `found` tells the first ones.
    pub damaged: u64,
    /// What was found.
    pub found: Vec<FoundDamage>,
    /// Copies that could not be looked at, which is not damage.
    pub unchecked: u64,
    /// Why the first of those could not be looked at.
    pub unchecked_why: Option<String>,
    /// Why the run stopped before its end here.
    pub stopped: Option<String>,
}

/// One damage that a run found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundDamage {
    /// `blob`, `manifest` or `key`.
    pub what: String,
    /// What listings of damage call it; absent for keys, which are replaced at once.
    pub object: Option<String>,
    /// Its name on the store.
    pub key: String,
    /// `not-found` or `corrupt`.
    #[schema(value_type = String)]
    pub kind: FailureKind,
    /// In words.
    pub message: String,
    /// Some of the places that need it.
    pub needed_by: Vec<NeededBy>,
}

/// What somebody would miss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeededBy {
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Its dataset.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// The first version that has it.
    #[schema(value_type = u64)]
    pub version: Version,
    /// The path; absent for a part of the version's manifest.
    #[schema(value_type = Option<String>)]
    pub path: Option<RelPath>,
}

/// Which damages; all fields that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamageFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of this dataset.
    pub dataset: Option<DatasetName>,
    /// On this store.
    pub backend: Option<BackendName>,
    /// Whether to tell who needs each, which costs a look-up per damage.
    pub needed_by: bool,
}

/// A copy that was found damaged and has not been replaced yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Damage {
    /// What, as a run's report calls it.
    pub object: String,
    /// Where.
    #[schema(value_type = String)]
    pub backend: BackendName,
    /// Since when it is known.
    #[schema(value_type = String)]
    pub since: Moment,
    /// False once the repair has been given up.
    pub pending: bool,
    /// No copy to replace it from is left: the content has to be pushed again.
    pub lost: bool,
    /// The latest words about it.
    pub message: String,
    /// Some of the places that need it, when asked for.
    pub needed_by: Vec<NeededBy>,
}

/// A step of bringing a dataset to a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncCall {
    /// The project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// The dataset.
    #[schema(value_type = String)]
    pub dataset: DatasetName,
    /// The `next` of the step before; absent begins.
    pub next: Option<SyncNext>,
}

/// Where the next step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncNext {
    /// The latest version's changeset.
    #[schema(value_type = Uuid)]
    pub changeset: ChangesetId,
    /// The other side's place in it.
    pub from: i64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncStep {
    /// The latest version's changeset, to be waited for; absent when there is nothing to bring over.
    #[schema(value_type = Option<Uuid>)]
    pub changeset: Option<ChangesetId>,
    /// Uploads this step set going.
    pub jobs: u64,
    /// Where the next step begins; absent after the last.
    pub next: Option<SyncNext>,
}

impl ValidateReport {
    /// Sums of `checked`, `bytes`, `damaged` and `unchecked`.
    pub fn totals(&self) -> [u64; 4] {
        let sum = |of: fn(&StoreProof) -> u64| self.stores.iter().map(of).sum();
        [sum(|s| s.checked), sum(|s| s.bytes), sum(|s| s.damaged), sum(|s| s.unchecked)]
    }
}
