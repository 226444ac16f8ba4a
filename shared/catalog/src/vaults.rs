//! Which vaults exist, and the public objects that workers copy to every store.

use async_trait::async_trait;
use n2s_domain::{Epoch, VaultId};

use crate::CatalogError;

/// A vault's objects, as they go on stores: opaque and safe to show to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultObjects {
    /// The vault.
    pub vault: VaultId,
    /// `n2s.json`, authenticated under the root.
    pub marker: Vec<u8>,
    /// `keys/<epoch>`: the wrapped epoch secrets, ascending.
    pub epochs: Vec<(Epoch, Vec<u8>)>,
}

/// Vaults and their epochs.
#[async_trait]
pub trait Vaults {
    /// A random id made with the database; manifests carry it, so that two catalogs on one store are noticed.
    async fn catalog_id(&self) -> Result<uuid::Uuid, CatalogError>;

    /// Registers a vault, or adds its new epochs. What is registered already stays as it is.
    async fn register_vault(&self, objects: &VaultObjects) -> Result<(), CatalogError>;

    /// The registered objects, or `None` for an unknown vault.
    async fn vault_objects(&self, vault: VaultId) -> Result<Option<VaultObjects>, CatalogError>;
}
