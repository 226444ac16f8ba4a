//! What the validator is given.

use std::sync::Arc;

use n2s_catalog::Catalog;
use n2s_domain::{BackendId, BackendName};
use n2s_envelope::Opener;
use n2s_queue::Bell;
use n2s_storage::Storage;

/// What the validator works with.
#[derive(Clone, Debug)]
pub struct ValidatorDeps {
    /// The truth, as far as it has been proven.
    pub catalog: Arc<dyn Catalog>,
    /// The stores to look at.
    pub stores: Vec<StoreDeps>,
    /// Rung when damage made jobs.
    pub bell: Bell,
    /// Opens objects, where the vault is. Only [`n2s_domain::ProofLevel::Content`] asks for it.
    pub opener: Option<Arc<Opener>>,
}

/// One store. Its operations must end by themselves: wrap it in `n2s_storage::TimedOut`.
#[derive(Clone, Debug)]
pub struct StoreDeps {
    /// Its row.
    pub id: BackendId,
    /// Its configured name.
    pub name: BackendName,
    /// The store.
    pub storage: Arc<dyn Storage>,
}
