//! Where the bytes come from: staging, else any other store's completed copy. Whatever comes back is the right bytes.

use std::sync::Arc;

use bytes::Bytes;
use n2s_catalog::{ClaimRef, ManifestObject, StagedKey, UploadTarget, Vouched};
use n2s_domain::{BackendId, ChangesetId, FailureKind, SealedHash};
use n2s_storage::{Body, ObjectKey, Staging, StagingKey, Storage, StorageError, StorageExt as _, layout};

use crate::failure::Failure;
use crate::finisher::staging_key;
use crate::ledger::Batch;
use crate::store::{Shared, Store};

/// Bytes that changed on their way are whole where they lie, and an object that has no other copy yet would fail for good if they were
/// given up. So what is not as it should be is read again before anybody believes it; more than twice tells nothing new.
const LOOKS: usize = 2;

/// Reads sealed blobs, in the order asked. `None` when the batch is to stop.
pub(crate) async fn blobs(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    targets: &[(ClaimRef, UploadTarget)],
) -> Option<Vec<Result<Body, Failure>>> {
    let staged: Vec<Option<StagedKey>> = targets.iter().map(|(_, target)| target.staged).collect();
    let mut bodies = Vec::with_capacity(targets.len());
    for (found, (_, target)) in from_staging(shared, batch, &staged).await?.into_iter().zip(targets) {
        bodies.push(match found {
            Some(answer) => answer,
            None => from_copies(shared, store, batch, target).await?,
        });
    }
    Some(bodies)
}

/// Reads a manifest's header or body.
pub(crate) async fn manifest(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    (changeset, object, key): (ChangesetId, &ManifestObject, &ObjectKey),
) -> Option<Result<Body, Failure>> {
    if let Some(answer) = from_staging(shared, batch, &[object.staged]).await?.pop().flatten() {
        return Some(answer);
    }
    let copies = match shared.catalog().manifest_copies(changeset).await {
        Ok(copies) => copies,
        Err(error) => return Some(Err(Failure::of_catalog(&error))),
    };
    let named = (Vouched::Manifest(changeset), key, object.sealed_hash);
    first_intact(shared, store, batch, named, &copies).await
}

/// `None` for an item that is not in staging, or not intact there.
async fn from_staging(
    shared: &Shared,
    batch: &Batch,
    staged: &[Option<StagedKey>],
) -> Option<Vec<Option<Result<Body, Failure>>>> {
    let present: Vec<StagedKey> = staged.iter().flatten().copied().collect();
    let keys: Vec<_> = present.iter().map(|key| staging_key(*key)).collect();
    let mut answers = batch.unless_stopped(second_look(&shared.deps.staging, &keys)).await?.into_iter();
    let mut lost = Vec::new();
    let mut bodies = Vec::with_capacity(staged.len());
    for key in staged {
        bodies.push(match key.and_then(|key| answers.next().map(|answer| (key, answer))) {
            None => None,
            Some((_, Ok(body))) => Some(Ok(body)),
            Some((key, Err(error))) if matches!(error.kind, FailureKind::NotFound | FailureKind::Corrupt) => {
                tracing::warn!(error = error.report(), "lost in staging; looking for another copy");
                lost.push(key);
                None
            }
            Some((_, Err(error))) => Some(Err(Failure::of_source(&error))),
        });
    }
    if !lost.is_empty()
        && let Err(error) = shared.catalog().staging_lost(&lost).await
    {
        tracing::warn!(error = crate::failure::report(&error), "the loss is not recorded; found again");
    }
    Some(bodies)
}

/// Reads, and reads again what was not as it should be.
async fn second_look(staging: &Staging, keys: &[StagingKey]) -> Vec<Result<Body, StorageError>> {
    let mut answers = staging.get(keys).await;
    for _ in 1..LOOKS {
        let corrupt = |i: &usize| answers[*i].as_ref().is_err_and(|error| error.kind == FailureKind::Corrupt);
        let wrong: Vec<usize> = (0..answers.len()).filter(corrupt).collect();
        let again: Vec<_> = wrong.iter().map(|&i| keys[i]).collect();
        if again.is_empty() {
            break;
        }
        for (i, answer) in wrong.into_iter().zip(staging.get(&again).await) {
            answers[i] = answer;
        }
    }
    answers
}

async fn from_copies(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    target: &UploadTarget,
) -> Option<Result<Body, Failure>> {
    let copies = match shared.catalog().copies(target.blob).await {
        Ok(copies) => copies,
        Err(error) => return Some(Err(Failure::of_catalog(&error))),
    };
    // A location is a pack's or a CID: stores that have such read it themselves, and none does yet.
    let plain: Vec<BackendId> =
        copies.into_iter().filter(|copy| copy.location.is_none()).map(|copy| copy.backend).collect();
    let key = layout::blob(target.sealed_hash);
    let named = (Vouched::Blob(target.blob), &key, target.sealed_hash);
    first_intact(shared, store, batch, named, &plain).await
}

async fn first_intact(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    (object, key, digest): (Vouched, &ObjectKey, SealedHash),
    copies: &[BackendId],
) -> Option<Result<Body, Failure>> {
    let mut unreachable = None;
    for backend in copies.iter().filter(|backend| **backend != store.deps.id) {
        let Some(storage) = shared.storage(*backend) else {
            unreachable = Some(format!("backend {backend} has a copy and is not configured here"));
            continue;
        };
        match batch.unless_stopped(intact(storage.as_ref(), key, digest)).await? {
            Ok(Some(bytes)) => return Some(Ok(Body::Bytes(bytes))),
            Ok(None) => {
                tracing::warn!(backend.name = storage.name(), object = %key, "this copy is damaged");
                doubt(shared, object, *backend).await;
            }
            // An unmounted disk has no object at all, and will have them again.
            Err(error) if error.kind == FailureKind::NotFound && !has_marker(batch, storage).await? => {
                unreachable = Some(format!("n2s.json is gone from {}: is it mounted?", storage.name()));
            }
            Err(error) if error.kind == FailureKind::NotFound => {
                tracing::warn!(error = error.report(), "this copy is missing");
                doubt(shared, object, *backend).await;
            }
            Err(error) => unreachable = Some(error.report()),
        }
    }
    Some(Err(match unreachable {
        Some(why) => Failure::surroundings(format!("the only other copies cannot be read now: {why}")),
        None => Failure::last(
            FailureKind::SourceMissing,
            format!("neither staging nor any other store has an intact copy of {key}; push the data again"),
        ),
    }))
}

/// A copy's bytes, looked at twice like those in staging; `None` when they are not those of the digest.
async fn intact(
    storage: &dyn Storage,
    key: &ObjectKey,
    digest: SealedHash,
) -> Result<Option<Bytes>, StorageError> {
    for _ in 0..LOOKS {
        match storage.get(key.clone()).await {
            Ok(bytes) if is(digest, &bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind != FailureKind::Corrupt => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// The validator looks at it first, and knows how to tell damage from an outage.
async fn doubt(shared: &Shared, object: Vouched, backend: BackendId) {
    if let Err(error) = shared.catalog().doubt(&[(object, backend)]).await {
        tracing::warn!(
            error = crate::failure::report(&error),
            "not noted; the validator finds it in its turn"
        );
    }
}

/// `None` when the batch is to stop.
async fn has_marker(batch: &Batch, storage: &Arc<dyn Storage>) -> Option<bool> {
    let found = batch.unless_stopped(storage.check_key_exists(&layout::marker())).await?;
    Some(found.unwrap_or(false))
}

/// Whether these are the bytes of that digest.
pub(crate) fn is(digest: SealedHash, bytes: &Bytes) -> bool {
    blake3::hash(bytes).as_bytes() == digest.as_bytes()
}
