//! Where the bytes come from: staging, else any other store's completed copy. Whatever comes back is the right bytes.

use std::sync::Arc;

use bytes::Bytes;
use n2s_catalog::{ClaimRef, ManifestObject, StagedKey, UploadTarget, Vouched};
use n2s_domain::{BackendId, ChangesetId, FailureKind, SealedHash};
use n2s_storage::{Body, ObjectKey, Storage, StorageError, StorageExt as _, layout};

use crate::failure::{Blame, Failure};
use crate::finisher::staging_key;
use crate::ledger::Batch;
use crate::store::{Shared, Store};

/// How often another store's copy is read before it counts as damaged: bytes that changed on their way are whole where they lie.
const LOOKS: usize = 2;

/// What staging has of an object.
enum Staged {
    /// Its bytes, or why it cannot be asked for them now.
    Answer(Result<Body, Failure>),
    /// It is not there.
    Absent,
    /// It did not read back right, and may next time: what to say where no other copy is found.
    Doubtful(Failure),
}

impl Staged {
    /// What to go by once the other copies were asked: none of them is no reason to give up one that may be whole.
    fn or(self, copy: Result<Body, Failure>) -> Result<Body, Failure> {
        match (self, copy) {
            (Self::Doubtful(doubt), Err(Failure { blame: Blame::Final, .. })) => Err(doubt),
            (_, copy) => copy,
        }
    }
}

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
            Staged::Answer(answer) => answer,
            other => other.or(from_copies(shared, store, batch, target).await?),
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
    let staged = match from_staging(shared, batch, &[object.staged]).await?.pop().unwrap_or(Staged::Absent) {
        Staged::Answer(answer) => return Some(answer),
        other => other,
    };
    let copies = match shared.catalog().manifest_copies(changeset).await {
        Ok(copies) => copies,
        Err(error) => return Some(Err(Failure::of_catalog(&error))),
    };
    let named = (Vouched::Manifest(changeset), key, object.sealed_hash);
    Some(staged.or(first_intact(shared, store, batch, named, &copies).await?))
}

/// What staging has of each; what is gone from there is recorded.
async fn from_staging(shared: &Shared, batch: &Batch, staged: &[Option<StagedKey>]) -> Option<Vec<Staged>> {
    let present: Vec<StagedKey> = staged.iter().flatten().copied().collect();
    let keys: Vec<_> = present.iter().map(|key| staging_key(*key)).collect();
    let mut answers = batch.unless_stopped(shared.deps.staging.get(&keys)).await?.into_iter();
    let mut lost = Vec::new();
    let mut bodies = Vec::with_capacity(staged.len());
    for key in staged {
        let Some((key, answer)) = key.and_then(|key| Some((key, answers.next()?))) else {
            bodies.push(Staged::Absent);
            continue;
        };
        bodies.push(match answer {
            Ok(body) => {
                shared.doubts.dispelled(key);
                Staged::Answer(Ok(body))
            }
            Err(error) if error.kind == FailureKind::Corrupt && !shared.doubts.confirmed(key) => {
                tracing::warn!(error = error.report(), "not right in staging; looking for another copy");
                Staged::Doubtful(Failure::of_source(&error))
            }
            Err(error) if matches!(error.kind, FailureKind::NotFound | FailureKind::Corrupt) => {
                tracing::warn!(error = error.report(), "lost in staging; looking for another copy");
                lost.push(key);
                Staged::Absent
            }
            Err(error) => Staged::Answer(Err(Failure::of_source(&error))),
        });
    }
    if !lost.is_empty()
        && let Err(error) = shared.catalog().staging_lost(&lost).await
    {
        tracing::warn!(error = crate::failure::report(&error), "the loss is not recorded; found again");
    }
    Some(bodies)
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
