//! The validator of a home, for one command or for ever.

use std::sync::Arc;
use std::time::Duration;

use n2s_domain::ProofLevel;
use n2s_validator::{StoreDeps, Validator, ValidatorDeps, ValidatorSettings};
use tokio_util::sync::CancellationToken;

use crate::node::Node;

/// The validator at work, as the configuration wants it.
#[derive(Debug)]
pub struct Validation {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Validation {
    /// Starts; `None` when the configuration has it off.
    pub fn start(node: &Node) -> Option<Self> {
        let config = &node.config.validator;
        if config.bytes_per_second == 0 {
            return None;
        }
        let every = Duration::from_secs(config.every_hours.saturating_mul(3_600));
        let settings = ValidatorSettings { bytes_per_sec: Some(config.bytes_per_second), every };
        let stop = CancellationToken::new();
        let validator = Validator::new(node.validator(ProofLevel::Sealed), settings);
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

impl Node {
    /// What a validator of this home works with. It gets the keys only where it is to open things.
    pub fn validator(&self, level: ProofLevel) -> ValidatorDeps {
        let store = |store: &n2s_worker::StoreDeps| StoreDeps {
            id: store.id,
            name: store.name.clone(),
            storage: Arc::clone(&store.storage),
        };
        ValidatorDeps {
            catalog: Arc::clone(&self.catalog),
            stores: self.stores.iter().map(store).collect(),
            bell: self.bell.clone(),
            opener: (level == ProofLevel::Content).then(|| Arc::new(self.vault.opener())),
        }
    }
}
