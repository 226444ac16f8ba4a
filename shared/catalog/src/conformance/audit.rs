//! Promises of [`crate::Audit`], and of all methods together: random sequences of everything against a model in memory.

use std::collections::{BTreeMap, BTreeSet};

use n2s_domain::limits::{LOSSES_ALONE_MAX, LOSSES_BEFORE_ALONE};
use n2s_domain::{ChangesetStatus, EntryChange, FailureKind, JobId, PlacementStatus, RelPath, Timestamp};

use super::world::{HOUR, blob_of, content, entry, failed, path, put, remove, retry, sealed, stored};
use super::{Rng, World};
use crate::{Claim, Damage, FailedFilter, Finish, Offered, OpenedPush, Outcome, Proof, Selector, Vouched};

type Tree = BTreeMap<RelPath, Vec<u64>>;

/// What the catalog must show.
#[derive(Default)]
struct Model {
    /// The head of each dataset.
    heads: [Tree; 2],
    open: [Option<(OpenedPush, Tree, u64)>; 2],
    /// By content and store's place.
    placed: BTreeMap<(u64, usize), PlacementStatus>,
    claims: Vec<Claim>,
    /// Leases that lapsed, by job.
    lapses: BTreeMap<JobId, u32>,
    committed: u64,
}

const DATASETS: [&str; 2] = ["d", "e"];

/// Marks a claim whose lease has lapsed.
const FENCED: u64 = u32::MAX as u64;

/// Files, placements and counters agree with the model after every few steps, and the counters never drift; at the end, with
/// stores that take everything, every changeset completes.
pub async fn random_sequences_agree_with_a_model(w: &World) {
    const SEED: u64 = 0x6175_6469_7400;
    let mut rng = Rng(SEED);
    let mut model = Model::default();
    for number in 0..400 {
        step(w, &mut model, &mut rng).await;
        if number % 10 == 0 {
            w.audit().await;
            agree(w, &model).await;
        }
    }
    finale(w, &mut model).await;
}

async fn step(w: &World, model: &mut Model, rng: &mut Rng) {
    let which = usize::try_from(rng.below(2)).unwrap();
    let store = usize::try_from(rng.below(2)).unwrap();
    match rng.below(13) {
        0..=3 => enter(w, model, which, rng).await,
        4 => close(w, model, which, rng.below(4) == 0).await,
        5 => model.claims.extend(w.claim(w.stores[store]).await),
        6..=8 => finish(w, model, rng).await,
        9 => {
            w.catalog.fold(1 + u32::try_from(rng.below(5)).unwrap()).await.unwrap();
        }
        10 => {
            lapse(w, model).await;
        }
        11 => damage(w, model, store, rng).await,
        _ => retry_all(w, model).await,
    }
}

/// Every lease lapses. The claims stay, as late workers do: what they report must be discarded.
async fn lapse(w: &World, model: &mut Model) {
    w.advance(HOUR).await;
    w.catalog.sweep_jobs(1_000).await.unwrap();
    for claim in model.claims.iter_mut().filter(|claim| claim.claim.epoch != FENCED) {
        let lapses = model.lapses.entry(claim.claim.job).or_default();
        *lapses += 1;
        if *lapses == LOSSES_BEFORE_ALONE + LOSSES_ALONE_MAX
            && let Some(place) = place_of(w, claim)
        {
            model.placed.insert(place, PlacementStatus::Failed);
        }
        claim.claim.epoch = FENCED;
    }
}

/// The content's number and the store's place; `None` for a manifest.
fn place_of(w: &World, claim: &Claim) -> Option<(u64, usize)> {
    let store = w.stores.iter().position(|store| *store == claim.backend).unwrap();
    // A content's first sealing is told by its number.
    blob_of(claim).map(|target| (u64::from_le_bytes(target.sealed_hash.0[..8].try_into().unwrap()), store))
}

/// A copy is found damaged, while the other store has one.
async fn damage(w: &World, model: &mut Model, store: usize, rng: &mut Rng) {
    let completed = |n: u64, store| model.placed.get(&(n, store)) == Some(&PlacementStatus::Completed);
    let both: Vec<u64> = (0..30).filter(|n| completed(*n, 0) && completed(*n, 1)).collect();
    if both.is_empty() {
        return;
    }
    let n = both[usize::try_from(rng.below(both.len() as u64)).unwrap()];
    let backend = w.stores[store];
    let far = Timestamp::from_micros(i64::MAX);
    let mut page = w.catalog.oldest_proofs(backend, far, None, 10_000).await.unwrap();
    page.proofs
        .extend(w.catalog.oldest_proofs(backend, far, page.next.as_deref(), 10_000).await.unwrap().proofs);
    let is = |proof: &&Proof| proof.bytes == 100 + n && matches!(proof.object, Vouched::Blob(_));
    let object = page.proofs.iter().find(is).unwrap().object;
    let (sealed_hash, kind) = (sealed(n), FailureKind::Corrupt);
    let damage = Damage { object, backend, sealed_hash, kind, message: "other bytes".into() };
    assert_eq!(w.catalog.record_damage(None, &[damage]).await.unwrap(), [true]);
    model.placed.insert((n, store), PlacementStatus::Pending);
}

async fn retry_all(w: &World, model: &mut Model) {
    w.catalog.retry_failed(&FailedFilter::default(), 1_000).await.unwrap();
    let failures = model.placed.values_mut().filter(|status| **status == PlacementStatus::Failed);
    failures.for_each(|status| *status = PlacementStatus::Pending);
}

/// Opens where nothing is open; then offers, sends what is missing, and enters a batch.
async fn enter(w: &World, model: &mut Model, which: usize, rng: &mut Rng) {
    if model.open[which].is_none() {
        let opened = w.open(DATASETS[which]).await;
        model.open[which] = Some((opened, model.heads[which].clone(), 0));
    }
    let (opened, tree, batches) = model.open[which].as_mut().unwrap();
    let mut changes: BTreeMap<RelPath, EntryChange> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    for _ in 0..=rng.below(3) {
        let at = format!("f{}", rng.below(9));
        if rng.below(4) == 0 {
            changes.insert(path(&at), remove(&at));
            tree.remove(&path(&at));
        } else {
            let contents: Vec<u64> = (0..rng.below(4)).map(|_| rng.below(30)).collect();
            changes.insert(path(&at), put(&at, &contents));
            tree.insert(path(&at), contents);
        }
    }
    for at in changes.keys() {
        needed.extend(tree.get(at).into_iter().flatten().copied());
    }
    let needed: Vec<u64> = needed.into_iter().collect();
    let contents: Vec<_> = needed.iter().map(|n| content(*n)).collect();
    let offers = w.catalog.offer(&opened.lease, &contents).await.unwrap();
    let missing = needed.iter().zip(&offers).filter(|(_, offer)| **offer == Offered::Missing);
    let missing: Vec<u64> = missing.map(|(n, _)| *n).collect();
    w.send(&opened.lease, &missing).await;
    *batches += 1;
    let changes: Vec<_> = changes.into_values().collect();
    w.enter(&opened.lease, *batches, &changes).await;
    for n in needed {
        for store in 0..2 {
            let status = model.placed.entry((n, store)).or_insert(PlacementStatus::Pending);
            if *status == PlacementStatus::Failed {
                *status = PlacementStatus::Pending;
            }
        }
    }
}

async fn close(w: &World, model: &mut Model, which: usize, abandon: bool) {
    let Some((opened, tree, batches)) = model.open[which].take() else { return };
    if abandon {
        w.catalog.abandon_push(opened.lease.changeset, Some(&opened.lease)).await.unwrap();
        w.undo().await;
        return;
    }
    w.commit(&opened.lease, batches).await;
    model.heads[which] = tree;
    model.committed += 1;
}

async fn finish(w: &World, model: &mut Model, rng: &mut Rng) {
    let count = model.claims.len().min(1 + usize::try_from(rng.below(4)).unwrap());
    for claim in model.claims.drain(..count).collect::<Vec<_>>() {
        let (outcome, status) = match rng.below(6) {
            0 => (failed(), PlacementStatus::Failed),
            1 => (retry(HOUR / 9, true), PlacementStatus::Pending),
            _ => (stored(), PlacementStatus::Completed),
        };
        let fenced = claim.claim.epoch == FENCED;
        let outcomes = [Finish { claim: claim.claim, outcome: outcome.clone() }];
        let report = w.catalog.finish(&outcomes).await.unwrap();
        assert_eq!(report.accepted, [!fenced]);
        if let (Some(place), false) = (place_of(w, &claim), fenced) {
            model.placed.insert(place, status);
        }
    }
}

async fn agree(w: &World, model: &Model) {
    let tallies = w.catalog.backends().await.unwrap();
    for (store, (_, tally)) in tallies.iter().enumerate() {
        let of = |wanted| {
            let found = model.placed.iter().filter(|((_, s), status)| *s == store && **status == wanted);
            found.map(|((n, _), _)| 100 + n).collect::<Vec<_>>()
        };
        let completed = of(PlacementStatus::Completed);
        let counts = (of(PlacementStatus::Pending).len(), completed.len(), of(PlacementStatus::Failed).len());
        let kept = [tally.pending, tally.completed, tally.failed].map(|n| usize::try_from(n).unwrap());
        assert_eq!((kept[0], kept[1], kept[2]), counts);
        assert_eq!(tally.bytes, completed.iter().sum::<u64>());
    }
    for (which, dataset) in DATASETS.iter().enumerate() {
        if let Some((opened, tree, _)) = &model.open[which] {
            same(w, dataset, Selector::Open(opened.lease.changeset), tree).await;
        }
        if !model.heads[which].is_empty() {
            same(w, dataset, Selector::Latest, &model.heads[which]).await;
        }
    }
}

async fn same(w: &World, dataset: &str, selector: Selector, tree: &Tree) {
    let rows = w.rows(dataset, selector).await;
    let expected: Vec<_> = tree.iter().map(|(at, contents)| entry(&at.to_text(), contents)).collect();
    assert!(rows.iter().map(|row| &row.entry).eq(&expected), "{dataset}");
    // Whatever a version needs has a source.
    let sourced = |blob: &crate::library::FileBlob| blob.staged.is_some() || !blob.stored_on.is_empty();
    assert!(rows.iter().flat_map(|row| &row.blobs).all(sourced));
}

async fn finale(w: &World, model: &mut Model) {
    for which in 0..2 {
        close(w, model, which, false).await;
    }
    w.catalog.take_over_jobs().await.unwrap();
    w.advance(HOUR).await;
    let everything: Outcome = stored();
    for _ in 0..100 {
        w.work(&w.stores, &everything).await;
        let retried = w.catalog.retry_failed(&FailedFilter::default(), 1_000).await.unwrap();
        if retried == crate::Retried::default() {
            break;
        }
    }
    let page = crate::Page { after: None, limit: 1_000 };
    let filter = crate::ChangesetFilter { status: Some(ChangesetStatus::Completed), ..Default::default() };
    assert_eq!(w.catalog.changesets(&filter, &page).await.unwrap().len() as u64, model.committed);
}
