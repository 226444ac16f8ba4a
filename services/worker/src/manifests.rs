//! A version's manifest onto one store: body, then header, then the advisory head.
//!
//! The catalog made this job when every blob of the version was on the store, so a header present means that all of it
//! is. Manifests are written once. Finding other bytes there means that another catalog, or a restored older one,
//! writes versions of the same dataset to this store: no retry helps, a person has to decide. Unless ours was there before and was
//! found damaged: then what is there now is the damage.

use std::collections::HashSet;

use bytes::Bytes;
use n2s_catalog::{ManifestObject, ManifestTarget};
use n2s_domain::{FailureKind, SealedHash, Version};
use n2s_failpoints::{Point, failpoint};
use n2s_storage::{Body, ObjectKey, Put, StorageError, StorageExt as _, Stored, layout};

use crate::failure::Failure;
use crate::ledger::Batch;
use crate::ready::{prepare, still_there};
use crate::sources::{self, is};
use crate::store::{Shared, Store};

/// Copies one manifest. `None` when the batch is to stop.
pub(crate) async fn copy(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    target: &ManifestTarget,
) -> Option<Result<Stored, Failure>> {
    if let Err(failure) = prepare(shared, store, batch, target.vault, &HashSet::new()).await? {
        return Some(Err(failure));
    }
    let (key, version) = (target.store_key, target.version);
    let parts = [
        (layout::manifest_body(key, version), &target.body, Point::BodyPut),
        (layout::manifest_header(key, version), &target.header, Point::HeaderPut),
    ];
    for (key, object, done) in parts {
        if let Err(failure) = part(shared, store, batch, target, (&key, object)).await? {
            return Some(Err(failure));
        }
        failpoint(done);
    }
    if let Err(failure) = batch.unless_stopped(still_there(store)).await? {
        return Some(Err(failure));
    }
    if let Err(error) = batch.unless_stopped(advance_head(store, target)).await? {
        tracing::debug!(error = error.report(), "the head stays behind; readers gallop past it");
    }
    Some(Ok(Stored::default()))
}

async fn part(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    target: &ManifestTarget,
    (key, object): (&ObjectKey, &ManifestObject),
) -> Option<Result<(), Failure>> {
    let _memory = batch.unless_stopped(store.memory(object.size)).await?;
    let body = match sources::manifest(shared, store, batch, (target.changeset, object, key)).await? {
        Ok(body) => body,
        Err(failure) => return Some(Err(failure)),
    };
    let put = Put { key: key.clone(), body, digest: object.sealed_hash, overwrite: target.repair };
    let answer = batch.unless_stopped(store.deps.storage.put(put)).await?;
    Some(match answer {
        Ok(_) => Ok(()),
        Err(error) if error.kind == FailureKind::Corrupt => {
            batch.unless_stopped(compare(store, key, object.sealed_hash)).await?
        }
        Err(error) => Err(Failure::of_target(&error)),
    })
}

async fn compare(store: &Store, key: &ObjectKey, digest: SealedHash) -> Result<(), Failure> {
    match store.deps.storage.get(key.clone()).await {
        Ok(found) if is(digest, &found) => Ok(()),
        Ok(_) => Err(Failure::last(
            FailureKind::Misconfigured,
            format!(
                "{} holds another {key}: another catalog writes to this store; give each its own store or prefix (or run `n2s catalog catch-up`, if this one was restored from an older copy)",
                store.deps.name
            ),
        )),
        Err(error) => Err(Failure::of_target(&error)),
    }
}

/// Overwrites the head upward only. Two at once may leave the lower one: that is why it is only advisory.
async fn advance_head(store: &Store, target: &ManifestTarget) -> Result<(), StorageError> {
    let (key, storage) = (layout::archive_head(target.store_key), &store.deps.storage);
    match storage.get(key.clone()).await {
        Ok(found) if head(&found).is_some_and(|head| head >= target.version) => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind == FailureKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let line = Bytes::from(format!("{}\n", target.version));
    let digest = SealedHash(*blake3::hash(&line).as_bytes());
    storage.put(Put { key, body: Body::Bytes(line), digest, overwrite: true }).await.map(drop)
}

fn head(bytes: &Bytes) -> Option<Version> {
    std::str::from_utf8(bytes).ok()?.trim_end().parse().ok().map(Version)
}
