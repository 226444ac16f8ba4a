//! From what stores answered to outcomes for the catalog: asks `n2s_domain::judge` and acts on its signals.

use std::collections::HashMap;
use std::time::Duration;

use n2s_catalog::{Claim, ClaimRef, Finish, Outcome};
use n2s_domain::FailureKind;
use n2s_domain::judge::{Attempt, Probe, Signal, Verdict, judge};
use tokio_util::sync::CancellationToken;

use crate::failure::{Blame, Failure, SURROUNDINGS_PAUSE};
use crate::health::Mark;
use crate::prober::{needs_probe, pause, probe};
use crate::store::{Shared, Store};
use crate::uploads::Attempted;

/// Judges what was attempted since `began`. Successes count first: they tell whether a timeout was the store's fault.
pub(crate) async fn outcomes(
    shared: &Shared,
    store: &Store,
    claims: &HashMap<ClaimRef, Claim>,
    (began, attempted): (Mark, Vec<Attempted>),
    stop: &CancellationToken,
) -> Vec<Finish> {
    let mut finishes = Vec::with_capacity(attempted.len());
    let mut failures = Vec::new();
    for (claim, result) in attempted {
        match result {
            Ok(stored) => {
                store.health.succeeded(claims.get(&claim).map_or(0, bytes));
                finishes.push(Finish { claim, outcome: Outcome::Stored { location: stored.location } });
            }
            Err(failure) => failures.push((claim, failure)),
        }
    }
    if failures.is_empty() {
        return finishes;
    }
    // A store that asks for less is the one it was, and staging says nothing of it. Looked at again for each refusal, it would get as many
    // requests more, all one after the other.
    if failures
        .iter()
        .any(|(_, failure)| failure.blame != Blame::Surroundings && failure.kind != FailureKind::Throttled)
    {
        store.ready.forget().await;
    }
    if failures.iter().any(|(_, failure)| needs_probe(failure)) {
        probe(shared, store, began, stop).await;
    }
    let mut confirmed = None;
    for (claim, failure) in failures {
        note(store, &failure);
        let charged = claims.get(&claim).map_or(0, |claim| claim.retry_count);
        let (outcome, signal) = verdict(shared, store, (began, charged), &failure);
        match signal {
            Signal::Fault => store.health.faulted(shared.now(), shared.deps.entropy.as_ref()),
            Signal::Throttle => store.health.throttled(failure.retry_after),
            Signal::Pause => confirmed = Some(failure.message),
            // The probe was just made; where it could not be, the next attempt asks for one again.
            Signal::ProbeWanted | Signal::Nothing => {}
        }
        finishes.push(Finish { claim, outcome });
    }
    if let Some(reason) = confirmed.filter(|_| !store.health.is_paused()) {
        pause(shared, store, &reason).await;
    }
    finishes
}

/// Tells people of it beside the store, and whose matter it is: who waits for the store has to know why nothing comes, and must not look
/// for the fault at the store when staging does not answer.
fn note(store: &Store, failure: &Failure) {
    match failure.blame {
        Blame::Surroundings => {
            let message = format!("it is not the store: {}", failure.message);
            store.health.note_error(FailureKind::SourceMissing, &message);
        }
        // That nobody has an object says nothing of the store that was to get it.
        Blame::Final if failure.kind == FailureKind::SourceMissing => {}
        Blame::Target | Blame::Store | Blame::Final => {
            store.health.note_error(failure.kind, &failure.message);
        }
    }
}

fn verdict(
    shared: &Shared,
    store: &Store,
    (began, charged): (Mark, u32),
    failure: &Failure,
) -> (Outcome, Signal) {
    let error = Some((failure.kind, failure.message.clone()));
    match failure.blame {
        Blame::Surroundings => {
            (Outcome::Retry { after: SURROUNDINGS_PAUSE, charged: false, error }, Signal::Nothing)
        }
        Blame::Final => {
            let (kind, message) = (failure.kind, failure.message.clone());
            (Outcome::Failed { kind, message }, Signal::Nothing)
        }
        Blame::Target | Blame::Store => {
            let attempt = Attempt {
                kind: failure.kind,
                retry_after: patience(store, failure),
                charged,
                store_faults: store.health.faults(),
                others_succeed: store.health.success_since(began),
                probe: store.health.probe_since(began),
            };
            let attempt = if failure.blame == Blame::Store { of_store_alone(attempt) } else { attempt };
            let now = shared.now();
            let judged = judge(&attempt, &store.deps.retry, now, shared.deps.entropy.as_ref());
            (outcome(judged.0, now, failure), judged.1)
        }
    }
}

/// What was asked on behalf of all objects says nothing of any: neither what else succeeded nor a good probe makes it theirs.
fn of_store_alone(attempt: Attempt) -> Attempt {
    use n2s_domain::FailureKind as K;
    let kind = if matches!(attempt.kind, K::Corrupt | K::NotFound) { K::Unavailable } else { attempt.kind };
    let probe = if attempt.probe == Probe::Healthy { Probe::Unknown } else { attempt.probe };
    Attempt { kind, probe, others_succeed: false, ..attempt }
}

/// What the store asked for; from one that refuses everything, as long as it is left alone.
fn patience(store: &Store, failure: &Failure) -> Option<Duration> {
    let rest = if failure.kind == FailureKind::Throttled { store.health.rest() } else { None };
    failure.retry_after.max(rest)
}

fn outcome(verdict: Verdict, now: n2s_domain::Timestamp, failure: &Failure) -> Outcome {
    let (kind, message) = (failure.kind, failure.message.clone());
    match verdict {
        Verdict::Stored => Outcome::Stored { location: None },
        Verdict::Retry { due_at, charged } => {
            Outcome::Retry { after: due_at.since(now), charged, error: Some((kind, message)) }
        }
        Verdict::Failed => Outcome::Failed { kind, message },
    }
}

/// Bytes of the claim's object.
fn bytes(claim: &Claim) -> u64 {
    use n2s_catalog::ClaimTarget;
    match &claim.target {
        ClaimTarget::Upload(target) => target.encrypted_size,
        ClaimTarget::Manifest(target) => target.body.size + target.header.size,
    }
}
