//! Before the first blob: is this the store we think it is, and are the keys there that its blobs need?
//!
//! A store gets its marker `n2s.json` once, while the catalog says that it never had one. Afterwards its absence means an
//! unmounted or emptied disk, and writing on would fill the mount point: the store is paused instead. What was found
//! holds until something fails; then it is looked at again.

use std::collections::HashSet;

use bytes::Bytes;
use n2s_catalog::{BackendRecord, VaultObjects};
use n2s_domain::{Epoch, FailureKind, SealedHash, VaultId};
use n2s_failpoints::{Point, failpoint};
use n2s_storage::{Body, ObjectKey, Put, Storage, StorageExt as _, layout};
use tokio::sync::Mutex;

use crate::failure::{Blame, Failure};
use crate::ledger::Batch;
use crate::store::{Shared, Store};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    state: Mutex<Option<Prepared>>,
    /// Whose blobs were to go there last: a store that was never initialised can only be probed for this vault.
    asked: std::sync::Mutex<Option<VaultId>>,
}

#[derive(Debug)]
struct Prepared {
    objects: VaultObjects,
    placed: HashSet<Epoch>,
}

impl Ready {
    /// Forgets what was found.
    pub(crate) async fn forget(&self) {
        *self.state.lock().await = None;
    }

    /// The vault that last asked for the store.
    pub(crate) fn asked(&self) -> Option<VaultId> {
        *self.asked.lock().expect("no holder of this lock can panic")
    }
}

/// Makes sure that the store is `vault`'s and holds the key objects of `epochs`. `None` when the batch is to stop.
pub(crate) async fn prepare(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    vault: VaultId,
    epochs: &HashSet<Epoch>,
) -> Option<Result<(), Failure>> {
    *store.ready.asked.lock().expect("no holder of this lock can panic") = Some(vault);
    let mut ready = batch.unless_stopped(store.ready.state.lock()).await?;
    if ready.as_ref().is_none_or(|prepared| prepared.objects.vault != vault) {
        *ready = None;
        match identify(shared, store, batch, vault).await? {
            Ok(prepared) => *ready = Some(prepared),
            Err(failure) => return Some(Err(failure)),
        }
    }
    let prepared = ready.as_mut()?;
    for epoch in epochs {
        if !prepared.placed.contains(epoch) {
            if let Err(failure) = place(shared, store, batch, &prepared.objects, *epoch).await? {
                return Some(Err(failure));
            }
            prepared.placed.insert(*epoch);
        }
    }
    Some(Ok(()))
}

async fn identify(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    vault: VaultId,
) -> Option<Result<Prepared, Failure>> {
    let facts = async {
        let record = shared.record(store).await?;
        let objects = shared.catalog().vault_objects(vault).await?;
        Ok((record, objects, shared.catalog().placed_epochs(store.deps.id).await?))
    };
    let (record, objects, placed) = match facts.await {
        Ok((record, Some(objects), placed)) => (record, objects, placed),
        Ok((_, None, _)) => {
            let message = format!("vault {vault} is not registered in this catalog; push once with it");
            return Some(Err(Failure::last(FailureKind::Misconfigured, message)));
        }
        Err(error) => return Some(Err(Failure::of_catalog(&error))),
    };
    if let Some(other) = record.vault.filter(|other| *other != vault) {
        let message = format!("{} belongs to vault {other}, this object to vault {vault}", record.name);
        return Some(Err(Failure::last(FailureKind::Misconfigured, message)));
    }
    let found = batch.unless_stopped(check_marker(store, &record, &objects.marker)).await?;
    let written = match found {
        Ok(true) => Ok(()),
        Ok(false) => {
            let key = layout::marker();
            let put = batch.unless_stopped(put(store.deps.storage.as_ref(), key, &objects.marker)).await?;
            failpoint(Point::MarkerPut);
            put
        }
        Err(failure) => return Some(Err(failure)),
    };
    if let Err(failure) = written {
        return Some(Err(failure));
    }
    if record.initialised_at.is_none()
        && let Err(error) = shared.catalog().set_initialised(store.deps.id, vault).await
    {
        return Some(Err(Failure::of_catalog(&error)));
    }
    Some(Ok(Prepared { objects, placed: placed.into_iter().collect() }))
}

/// True when the store has `marker`; false when it has none and never had.
pub(crate) async fn check_marker(
    store: &Store,
    record: &BackendRecord,
    marker: &[u8],
) -> Result<bool, Failure> {
    match store.deps.storage.get(layout::marker()).await {
        Ok(found) if found == marker => Ok(true),
        Ok(_) => Err(Failure::misconfigured(format!(
            "{} holds another vault's archive; give this vault a store, or a prefix, of its own",
            record.name
        ))),
        Err(error) if error.kind == FailureKind::NotFound && record.initialised_at.is_none() => Ok(false),
        Err(error) if error.kind == FailureKind::NotFound => Err(not_mounted(store)),
        Err(error) => Err(Failure::of_store(&error)),
    }
}

/// A local store that has lost its marker has been unmounted meanwhile, and what it acknowledged lies in the mount point.
pub(crate) async fn still_there(store: &Store) -> Result<(), Failure> {
    if store.deps.kind != "local" {
        return Ok(());
    }
    match store.deps.storage.check_key_exists(&layout::marker()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(not_mounted(store)),
        Err(error) => Err(Failure::of_store(&error)),
    }
}

fn not_mounted(store: &Store) -> Failure {
    Failure::misconfigured(format!(
        "{}: n2s.json is gone: the disk is not mounted or was emptied; mount it, or put n2s.json back; n2s never \
         initialises a store twice",
        store.deps.name
    ))
}

async fn place(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    objects: &VaultObjects,
    epoch: Epoch,
) -> Option<Result<(), Failure>> {
    let Some((_, wrapped)) = objects.epochs.iter().find(|(known, _)| *known == epoch) else {
        // Registered after this store was looked at: the next look finds it.
        return refresh(shared, store, batch, objects.vault, epoch).await;
    };
    place_object(shared, store, batch, epoch, wrapped).await
}

async fn refresh(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    vault: VaultId,
    epoch: Epoch,
) -> Option<Result<(), Failure>> {
    let objects = match shared.catalog().vault_objects(vault).await {
        Ok(objects) => objects,
        Err(error) => return Some(Err(Failure::of_catalog(&error))),
    };
    let wrapped = objects.and_then(|objects| objects.epochs.into_iter().find(|(known, _)| *known == epoch));
    if let Some((_, wrapped)) = wrapped {
        return place_object(shared, store, batch, epoch, &wrapped).await;
    }
    let message = format!("epoch {epoch} of vault {vault} is not registered in this catalog");
    Some(Err(Failure::last(FailureKind::Misconfigured, message)))
}

async fn place_object(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    epoch: Epoch,
    wrapped: &[u8],
) -> Option<Result<(), Failure>> {
    let stored = put(store.deps.storage.as_ref(), layout::epoch(epoch), wrapped);
    if let Err(failure) = batch.unless_stopped(stored).await? {
        return Some(Err(failure));
    }
    failpoint(Point::EpochPut);
    let noted = shared.catalog().epoch_placed(store.deps.id, epoch).await;
    Some(noted.map_err(|error| Failure::of_catalog(&error)))
}

async fn put(storage: &dyn Storage, key: ObjectKey, bytes: &[u8]) -> Result<(), Failure> {
    let digest = SealedHash(*blake3::hash(bytes).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(bytes));
    let name = key.to_string();
    match storage.put(Put { key, body, digest, overwrite: false }).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == FailureKind::Corrupt => {
            let message = format!(
                "{} holds another {name} than this vault's: it is another vault's, or was damaged; {}",
                storage.name(),
                error.report()
            );
            // Nothing but a person mends it, so the objects that need it fail in the end and say so.
            Err(Failure { blame: Blame::Target, ..Failure::misconfigured(message) })
        }
        Err(error) => Err(Failure::of_store(&error)),
    }
}
