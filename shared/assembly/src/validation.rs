//! The validator of a home, for one command or for ever.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use n2s_client::seam::{FoundDamage, ProofWatch, SeamError, StoreProof, ValidateReport, ValidateRequest};
use n2s_config::ValidatorConfig;
use n2s_domain::{BackendId, ProofLevel};
use n2s_envelope::Vault;
use n2s_intake::{Prover, needed_by, object_name};
use n2s_validator::{
    Found, Progress, Request, StoreDeps, StoreReport, Validator, ValidatorDeps, ValidatorSettings, validate,
};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::station::Station;

/// How long a store that was found away earlier may take to answer the engine's probe.
const PATIENCE: Duration = Duration::from_secs(5);

/// The validator at work, as the configuration wants it.
#[derive(Debug)]
pub struct Validation {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Validation {
    /// Starts; `None` when the configuration has it off.
    pub fn start(node: &Node) -> Option<Self> {
        let settings = settings(&node.config.validator)?;
        let validator = Validator::new(node.station.validator(), settings);
        let stop = CancellationToken::new();
        let task = tokio::spawn(validator.run(stop.clone()));
        Some(Self { stop, task })
    }

    /// Finishes what is being read, and stops.
    pub async fn stop(self) {
        self.stop.cancel();
        // A panic has been logged by the runtime; there is nothing left to stop then.
        let _ = self.task.await;
    }
}

/// How the validator is to go about it; `None` when it is off.
pub(crate) fn settings(config: &ValidatorConfig) -> Option<ValidatorSettings> {
    let every = Duration::from_secs(config.every_hours.saturating_mul(3_600));
    let bytes_per_sec = Some(config.bytes_per_second).filter(|rate| *rate > 0)?;
    Some(ValidatorSettings { bytes_per_sec: Some(bytes_per_sec), every })
}

/// What proves for an operator.
#[derive(Debug)]
pub(crate) struct Proving {
    pub(crate) keyless: ValidatorDeps,
    pub(crate) vault: Arc<Vault>,
}

/// How far a validator is, told to whoever asked for it.
struct Told<'a>(&'a dyn ProofWatch);

impl Progress for Told<'_> {
    fn total(&self, copies: u64, bytes: u64) {
        self.0.total(copies, bytes);
    }

    fn checked(&self, copies: u64, bytes: u64, damaged: u64) {
        self.0.checked(copies, bytes, damaged);
    }
}

#[async_trait]
impl Prover for Proving {
    async fn prove(
        &self,
        request: &ValidateRequest,
        backend: Option<BackendId>,
        watch: &dyn ProofWatch,
        stop: &CancellationToken,
    ) -> Result<ValidateReport, SeamError> {
        let asked = Request {
            project: request.project.clone(),
            dataset: request.dataset.clone(),
            backend,
            level: request.level,
            one_in: request.one_in,
            bytes_per_sec: request.bytes_per_sec,
            patience: PATIENCE,
        };
        // The validator gets the keys only where it is to open things.
        let opener = (request.level == ProofLevel::Content).then(|| Arc::new(self.vault.opener()));
        let deps = ValidatorDeps { opener, ..self.keyless.clone() };
        let report = validate(&deps, &asked, &Told(watch), stop).await;
        let report =
            report.map_err(|error| SeamError::Other { doing: "validating", source: error.into() })?;
        Ok(ValidateReport { stores: report.stores.into_iter().map(store_proof).collect() })
    }
}

fn store_proof(report: StoreReport) -> StoreProof {
    let found = |found: Found| FoundDamage {
        what: found.what.as_str().to_owned(),
        object: found.object.map(object_name),
        key: found.key,
        kind: found.kind,
        message: found.message,
        needed_by: needed_by(found.affected),
    };
    StoreProof {
        backend: report.backend,
        checked: report.checked,
        bytes: report.bytes,
        damaged: report.damaged,
        found: report.found.into_iter().map(found).collect(),
        unchecked: report.unchecked,
        unchecked_why: report.unchecked_why,
        stopped: report.stopped,
    }
}

impl Station {
    /// What a validator without keys works with.
    pub(crate) fn validator(&self) -> ValidatorDeps {
        let store = |store: &n2s_worker::StoreDeps| StoreDeps {
            id: store.id,
            name: store.name.clone(),
            storage: Arc::clone(&store.storage),
        };
        ValidatorDeps {
            catalog: Arc::clone(&self.catalog),
            stores: self.stores.iter().map(store).collect(),
            bell: self.bell.clone(),
            opener: None,
        }
    }
}
