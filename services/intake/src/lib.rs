#![doc = include_str!("../README.md")]

mod archive;
mod catching_up;
mod error;
pub mod http;
mod operator;
mod plain;
mod producer;
mod proving;
mod reader;
mod ready;
mod records;
mod sources;
mod tokens;
mod vaults;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use n2s_catalog::Catalog;
use n2s_domain::{BackendId, BackendName, Clock, Entropy};
use n2s_envelope::Vault;
use n2s_storage::{Staging, Storage};

pub use catching_up::{CatchUp, CaughtUp, Outrun};
pub use proving::{Prover, needed_by, object_name};

/// Rung when there is something to dispatch or to fold.
pub type Ring = Arc<dyn Fn() + Send + Sync>;

/// The stores that pulls read from, by their rows.
pub type Stores = BTreeMap<BackendId, (BackendName, Arc<dyn Storage>)>;

/// Intake: the side that clients push to and pull from. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    catalog: Arc<dyn Catalog>,
    staging: Staging,
    stores: Arc<Stores>,
    ring: Ring,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: Option<Arc<vaults::Keys>>,
    prover: Option<Arc<dyn Prover>>,
    min_copies: Option<u32>,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intake({} stores)", self.stores.len())
    }
}

/// What intake needs.
pub struct IntakeDeps {
    /// The truth.
    pub catalog: Arc<dyn Catalog>,
    /// Where sealed blobs wait.
    pub staging: Staging,
    /// The stores that pulls read from. They verify what they give.
    pub stores: Stores,
    /// Wakes dispatcher and folder.
    pub ring: Ring,
    /// Makes ids.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub entropy: Arc<dyn Entropy>,
    /// Seals and opens for clients without the vault; without it they are refused.
    pub vault: Option<Arc<Vault>>,
    /// Proves copies for operators; without it they are refused.
    pub prover: Option<Arc<dyn Prover>>,
    /// Copies that make a changeset safe when its push does not say; all its stores without.
    pub min_copies: Option<u32>,
}

impl Intake {
    /// Intake over these.
    pub fn new(deps: IntakeDeps) -> Self {
        let IntakeDeps { catalog, staging, stores, ring, clock, entropy, vault, prover, min_copies } = deps;
        let keys = vault.map(|vault| Arc::new(vaults::Keys(vault)));
        Self { catalog, staging, stores: Arc::new(stores), ring, clock, entropy, keys, prover, min_copies }
    }
}
