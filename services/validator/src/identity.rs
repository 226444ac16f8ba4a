//! Is this the store we think it is, and is it well?
//!
//! An outage is not damage. A disk that is not mounted has no object of ours, and marking them all damaged would be the end of
//! a catalog. So nothing is asked of a store, and no absence believed, unless its marker can be read and is ours: before
//! a run, and again whenever something was missing or wrong.

use n2s_catalog::{BackendRecord, BackendState, Catalog, CatalogError, VaultObjects};
use n2s_domain::{Epoch, FailureKind};
use n2s_storage::{StorageExt as _, layout};

use crate::deps::StoreDeps;

/// A store that is ours and well.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What its vault has in the catalog.
    pub(crate) objects: VaultObjects,
    /// Epochs whose key object was placed there.
    pub(crate) placed: Vec<Epoch>,
    /// The marker is there, and is not what was written; the keys beside it are.
    pub(crate) marker_damaged: bool,
}

/// Why a store is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) why: String,
    /// It may be over in a moment: a probe is to be made.
    pub(crate) passing: bool,
}

impl Stop {
    pub(crate) fn new(why: String) -> Self {
        Self { why, passing: false }
    }
}

/// Whether the catalog would have the store left alone: an operator paused it, or workers found it away. Asks nobody else.
pub(crate) async fn left_alone(
    catalog: &dyn Catalog,
    store: &StoreDeps,
) -> Result<Option<Stop>, CatalogError> {
    let records = catalog.backends().await?;
    Ok(records.iter().find(|(record, _)| record.id == store.id).and_then(|(record, _)| unwell(record)))
}

/// `Ok(Ok(None))` when nothing has ever been stored there.
pub(crate) async fn identify(
    catalog: &dyn Catalog,
    store: &StoreDeps,
) -> Result<Result<Option<Identity>, Stop>, CatalogError> {
    let records = catalog.backends().await?;
    let record = records.into_iter().map(|(record, _)| record).find(|record| record.id == store.id);
    let Some(record) = record.filter(|record| record.initialised_at.is_some()) else { return Ok(Ok(None)) };
    if let Some(stop) = unwell(&record) {
        return Ok(Err(stop));
    }
    let Some(vault) = record.vault else { return Ok(Ok(None)) };
    let Some(objects) = catalog.vault_objects(vault).await? else { return Ok(Ok(None)) };
    let placed = catalog.placed_epochs(store.id).await?;
    Ok(look(store, objects, placed).await.map(Some))
}

fn unwell(record: &BackendRecord) -> Option<Stop> {
    match &record.state {
        BackendState::Paused { by_operator, reason, .. } => {
            Some(Stop { why: format!("paused: {reason}"), passing: !by_operator })
        }
        BackendState::Active => {
            let (since, _) = record.health.open?;
            let error = record.health.last_error.as_ref();
            let why = error.map_or_else(|| "it does not answer".to_owned(), |(_, text, _)| text.clone());
            Some(Stop { why: format!("unreachable since {since}: {why}"), passing: true })
        }
    }
}

async fn look(store: &StoreDeps, objects: VaultObjects, placed: Vec<Epoch>) -> Result<Identity, Stop> {
    match store.storage.get(layout::marker()).await {
        Ok(found) if found == objects.marker => Ok(Identity { objects, placed, marker_damaged: false }),
        Ok(found) => {
            if another_vaults(&found) || !has_our_key(store, &objects).await {
                let why = "its n2s.json is another vault's; look whether the right disk is mounted and the path is right";
                return Err(Stop::new(why.to_owned()));
            }
            Ok(Identity { objects, placed, marker_damaged: true })
        }
        Err(error) if error.kind == FailureKind::NotFound => Err(Stop::new(
            "its n2s.json is gone: the disk is not mounted or was emptied; mount it, or put n2s.json back, and validate \
             again; nothing was marked damaged"
                .to_owned(),
        )),
        Err(error) if error.kind == FailureKind::Corrupt && has_our_key(store, &objects).await => {
            Ok(Identity { objects, placed, marker_damaged: true })
        }
        Err(error) => Err(Stop::new(error.report())),
    }
}

/// Whether these bytes are a marker at all.
fn another_vaults(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes)
        .is_ok_and(|marker| marker["vault"].is_string() && marker["mac"].is_string())
}

/// No other store has an object that only our root could have made.
async fn has_our_key(store: &StoreDeps, objects: &VaultObjects) -> bool {
    for (epoch, wrapped) in &objects.epochs {
        if store.storage.get(layout::epoch(*epoch)).await.is_ok_and(|found| found == *wrapped) {
            return true;
        }
    }
    false
}
