//! Promises of [`crate::Vaults`].

use n2s_domain::{Epoch, VaultId};

use super::World;
use super::world::VAULT;
use crate::VaultObjects;

/// What is registered stays as it is; new epochs are added.
pub async fn objects_come_back_as_registered(w: &World) {
    let again = VaultObjects {
        vault: VAULT,
        marker: b"another".to_vec(),
        epochs: vec![(Epoch(2), b"two".to_vec()), (Epoch(1), b"not one".to_vec())],
    };
    w.catalog.register_vault(&again).await.unwrap();
    let found = w.other.vault_objects(VAULT).await.unwrap().unwrap();
    let epochs = vec![(Epoch(1), b"one".to_vec()), (Epoch(2), b"two".to_vec())];
    assert_eq!(found, VaultObjects { vault: VAULT, marker: b"marker".to_vec(), epochs });
    assert_eq!(w.catalog.vault_objects(VaultId(*b"unknown!")).await.unwrap(), None);
}

/// The id is the database's, not the handle's.
pub async fn one_database_has_one_id(w: &World) {
    assert_eq!(w.catalog.catalog_id().await.unwrap(), w.other.catalog_id().await.unwrap());
}
