//! Sealed blobs onto one store: as few calls as bytes allow, an answer for each blob.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use n2s_catalog::{ClaimRef, UploadTarget};
use n2s_domain::{Epoch, FailureKind, VaultId};
use n2s_failpoints::{Point, failpoint};
use n2s_storage::{Body, Put, StorageError, Stored, layout};

use crate::failure::Failure;
use crate::ledger::Batch;
use crate::ready::{prepare, still_there};
use crate::sources;
use crate::store::{Shared, Store};
use crate::traces::answered;

/// A claim and what became of it.
pub(crate) type Attempted = (ClaimRef, Result<Stored, Failure>);

/// Uploads blobs. What is missing from the answer was stopped.
pub(crate) async fn upload(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    targets: Vec<(ClaimRef, UploadTarget)>,
) -> Vec<Attempted> {
    let mut vaults: BTreeMap<VaultId, Vec<(ClaimRef, UploadTarget)>> = BTreeMap::new();
    for (claim, target) in targets {
        vaults.entry(target.vault).or_default().push((claim, target));
    }
    let mut attempted = Vec::new();
    for (vault, targets) in vaults {
        let epochs: HashSet<Epoch> = targets.iter().map(|(_, target)| target.epoch).collect();
        match prepare(shared, store, batch, vault, &epochs).await {
            None => {}
            Some(Ok(())) => {
                let calls = by_bytes(targets, shared.settings.batch_bytes_max);
                let calls = calls.into_iter().map(|call| one_call(shared, store, batch, call));
                attempted.extend(join_all(calls).await.into_iter().flatten().flatten());
            }
            Some(Err(failure)) => {
                attempted.extend(targets.into_iter().map(|(claim, _)| (claim, Err(failure.clone()))));
            }
        }
    }
    attempted
}

/// Groups of at most `bytes_max`, or of one.
fn by_bytes(targets: Vec<(ClaimRef, UploadTarget)>, bytes_max: u64) -> Vec<Vec<(ClaimRef, UploadTarget)>> {
    let mut groups: Vec<Vec<_>> = Vec::new();
    let mut room = 0;
    for (claim, target) in targets {
        match groups.last_mut() {
            Some(group) if target.encrypted_size <= room => group.push((claim, target)),
            _ => {
                room = bytes_max;
                groups.push(vec![(claim, target)]);
            }
        }
        room = room.saturating_sub(target.encrypted_size);
    }
    groups
}

async fn one_call(
    shared: &Shared,
    store: &Store,
    batch: &Batch,
    mut targets: Vec<(ClaimRef, UploadTarget)>,
) -> Option<Vec<Attempted>> {
    let bytes = targets.iter().map(|(_, target)| target.encrypted_size).sum();
    let _memory = batch.unless_stopped(store.memory(bytes)).await?;
    // Somebody else may have taken them over while this call waited for memory.
    targets.retain(|(claim, _)| batch.holds(*claim));
    let bodies = sources::blobs(shared, store, batch, &targets).await?;
    let (mut attempted, mut puts, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    for ((claim, target), body) in targets.into_iter().zip(bodies) {
        match body {
            Ok(body) => {
                claims.push(claim);
                puts.push(put(&target, body));
            }
            Err(failure) => attempted.push((claim, Err(failure))),
        }
    }
    if puts.is_empty() {
        return Some(attempted);
    }
    failpoint(Point::Uploading);
    let spans: Vec<_> =
        claims.iter().zip(&puts).map(|(claim, put)| batch.traces.storing(*claim, put)).collect();
    let answers = batch.unless_stopped(store_all(store, puts)).await?;
    spans.into_iter().zip(&answers).for_each(|(span, answer)| answered(span, answer));
    failpoint(Point::Answered);
    let unmounted = if answers.iter().any(Result::is_ok) {
        batch.unless_stopped(still_there(store)).await?.err()
    } else {
        None
    };
    for (claim, answer) in claims.into_iter().zip(answers) {
        let judged = match (&unmounted, answer) {
            (Some(failure), Ok(_)) => Err(failure.clone()),
            (_, answer) => answer.map_err(|error| Failure::of_target(&error)),
        };
        attempted.push((claim, judged));
    }
    Some(attempted)
}

/// A blob's name may hold damaged bytes from before: an object named by its own bytes may always be put right.
async fn store_all(store: &Store, puts: Vec<Put>) -> Vec<Result<Stored, StorageError>> {
    let mut answers = store.deps.storage.store(puts.clone()).await;
    let damaged = |answer: &Result<Stored, StorageError>| {
        answer.as_ref().is_err_and(|error| error.kind == FailureKind::Corrupt)
    };
    let wrong: Vec<usize> = (0..answers.len()).filter(|&i| damaged(&answers[i])).collect();
    if wrong.is_empty() {
        return answers;
    }
    let again = wrong.iter().map(|&i| Put { overwrite: true, ..puts[i].clone() }).collect();
    for (i, answer) in wrong.into_iter().zip(store.deps.storage.store(again).await) {
        answers[i] = answer;
    }
    answers
}

fn put(target: &UploadTarget, body: Body) -> Put {
    Put { key: layout::blob(target.sealed_hash), body, digest: target.sealed_hash, overwrite: target.repair }
}
