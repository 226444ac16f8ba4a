//! The validator of a home, for one command or for ever.

use std::sync::Arc;
use std::time::Duration;

use n2s_config::ValidatorConfig;
use n2s_domain::ProofLevel;
use n2s_validator::{StoreDeps, Validator, ValidatorDeps, ValidatorSettings};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::station::Station;

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
        let validator = Validator::new(node.validator(ProofLevel::Sealed), settings);
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

impl Node {
    /// What a validator of this home works with. It gets the keys only where it is to open things.
    pub fn validator(&self, level: ProofLevel) -> ValidatorDeps {
        let opener = (level == ProofLevel::Content).then(|| Arc::new(self.vault.opener()));
        ValidatorDeps { opener, ..self.station.validator() }
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
