//! Promises of [`crate::Validation`].

use std::collections::BTreeSet;

use n2s_domain::ChangesetStatus::{Completed, Degraded, Failed, Pushing};
use n2s_domain::{BackendId, ChangesetId, FailureKind, ProofLevel, SealedHash, Timestamp, Version};

use super::World;
use super::world::{HOUR, MINUTE, blob_of, content, failed, path, put, remove, retry, sealed, store, stored};
use crate::{
    ClaimTarget, Damage, DamageScope, DatasetScope, FailedFilter, GroupKind, ManifestState, NewGroup,
    NewValidation, OpenPush, Proof, ProofTarget, Selector, ValidationEnd, ValidationRun, Vouched,
};

const LEVELS: [ProofLevel; 2] = [ProofLevel::Exists, ProofLevel::Sealed];

fn scope(dataset: &str, backend: Option<BackendId>, level: ProofLevel) -> DatasetScope {
    DatasetScope { project: "p".parse().unwrap(), dataset: dataset.parse().unwrap(), backend, level }
}

async fn proofs(w: &World, scope: &DatasetScope) -> Vec<Proof> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = w.catalog.dataset_proofs(scope, after.as_deref(), 2).await.unwrap();
        all.extend(page.proofs);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn oldest(w: &World, backend: BackendId, before: Timestamp) -> Vec<Proof> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = w.catalog.oldest_proofs(backend, before, after.as_deref(), 2).await.unwrap();
        all.extend(page.proofs);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn new_run(backend: BackendId, dataset: Option<&str>) -> NewValidation {
    let scope = dataset.map(|dataset| ("p".parse().unwrap(), dataset.parse().unwrap()));
    NewValidation { backend, scope, level: ProofLevel::Sealed, one_in: 1, lease: MINUTE }
}

async fn begin(w: &World, backend: BackendId) -> ValidationRun {
    w.catalog.begin_validation(&new_run(backend, Some("d"))).await.unwrap().unwrap()
}

fn blobs(proofs: &[Proof]) -> Vec<Proof> {
    proofs.iter().filter(|proof| matches!(proof.object, Vouched::Blob(_))).copied().collect()
}

/// The copy of the numbered content.
async fn copy(w: &World, dataset: &str, backend: BackendId, n: u64) -> Proof {
    let found = proofs(w, &scope(dataset, Some(backend), ProofLevel::Sealed)).await;
    *found.iter().find(|proof| proof.bytes == 100 + n).unwrap()
}

fn damaged(proof: Proof, sealed_hash: SealedHash) -> Damage {
    let message = "blobs/xx is not there".to_owned();
    Damage { object: proof.object, backend: proof.backend, sealed_hash, kind: FailureKind::NotFound, message }
}

async fn lose(w: &World, dataset: &str, backend: BackendId, n: u64) {
    let copy = copy(w, dataset, backend, n).await;
    assert_eq!(w.catalog.record_damage(None, &[damaged(copy, sealed(n))]).await.unwrap(), [true]);
}

async fn status(w: &World, changeset: ChangesetId) -> n2s_domain::ChangesetStatus {
    w.catalog.changeset(changeset).await.unwrap().status
}

/// Whatever shares a blob, and in whichever version; manifests and their segments, too; open and other datasets' rows not.
pub async fn every_copy_is_paged_once(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2, 3, 4, 8, 9]).await;
    let changes = [
        put("a", &[1]),
        put("b", &[1]),
        put("c", &[2, 3, 2]),
        put("d", &[3, 4]),
        put("e", &[3]),
        put("f", &[]),
    ];
    w.enter(&open.lease, 1, &changes).await;
    let group = |kind, segments: &[u64]| NewGroup {
        kind,
        since: Version(0),
        entries: 1,
        segments: segments.iter().map(|n| content(*n)).collect(),
    };
    w.catalog
        .record_groups(&open.lease, &[group(GroupKind::List, &[8, 9]), group(GroupKind::Map, &[9])])
        .await
        .unwrap();
    w.commit(&open.lease, 1).await;
    w.push(&w.spec("d"), &[put("a", &[5]), remove("b")]).await;
    w.push(&w.spec("other"), &[put("x", &[1, 6])]).await;
    w.work(&w.stores, &stored()).await;
    for level in LEVELS {
        for backend in [None, Some(w.stores[1])] {
            let found = proofs(w, &scope("d", backend, level)).await;
            let stores = if backend.is_some() { 1 } else { 2 };
            let once: BTreeSet<_> = found.iter().map(|proof| (proof.object, proof.backend)).collect();
            assert_eq!(once.len(), found.len(), "a copy came twice");
            let mut sizes: Vec<_> = blobs(&found).iter().map(|proof| proof.bytes - 100).collect();
            sizes.sort_unstable();
            sizes.dedup();
            assert_eq!(sizes, [1, 2, 3, 4, 5, 8, 9]);
            assert_eq!(blobs(&found).len(), 7 * stores);
            assert_eq!(found.len() - blobs(&found).len(), 2 * stores, "the manifests of two versions");
        }
    }
    let unknown = w.catalog.dataset_proofs(&scope("nothing", None, ProofLevel::Sealed), None, 2).await;
    assert!(matches!(unknown, Err(crate::CatalogError::Unknown { what: "dataset", .. })));
}

/// Acknowledged counts as proven; what is proven goes to the end; pages join up.
pub async fn oldest_proofs_come_first(w: &World) {
    let backend = w.stores[0];
    for n in 1..=5 {
        w.push(&w.spec("d"), &[put(&format!("f{n}"), &[n])]).await;
        w.work(&w.stores, &stored()).await;
        w.advance(HOUR).await;
    }
    let run = begin(w, backend).await;
    let numbers = |proofs: &[Proof]| blobs(proofs).iter().map(|proof| proof.bytes - 100).collect::<Vec<_>>();
    let found = oldest(w, backend, run.started_at).await;
    assert_eq!((found.len(), numbers(&found)), (10, vec![1, 2, 3, 4, 5]));
    assert!(matches!(found[0].object, Vouched::Manifest(_)), "manifests go first");
    let young = oldest(w, backend, run.started_at.before(HOUR * 7 / 2)).await;
    assert_eq!(numbers(&young), [1, 2], "what was proven lately is left alone");
    let some = [found[5], found[7]];
    assert!(w.catalog.record_proofs(run, ProofLevel::Sealed, &some).await.unwrap());
    w.advance(HOUR).await;
    let again = begin(w, backend).await;
    assert_eq!(numbers(&oldest(w, backend, again.started_at).await), [2, 4, 5, 1, 3]);
    assert_eq!(
        numbers(&oldest(w, w.stores[1], again.started_at).await),
        [1, 2, 3, 4, 5],
        "each store by itself"
    );
    w.catalog.record_proofs(again, ProofLevel::Sealed, &found).await.unwrap();
    assert_eq!(oldest(w, backend, again.started_at).await, []);
    let overview = w.catalog.proof_overview(backend).await.unwrap();
    assert!(overview.oldest >= Some(again.started_at));
    let last = overview.last.unwrap();
    assert_eq!(
        (last.checked, last.bytes, last.ended_at),
        (10, found.iter().map(|proof| proof.bytes).sum(), None)
    );
}

/// Nor the other way round: who has read it has seen it.
pub async fn existence_does_not_put_off_a_reading(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    w.advance(HOUR).await;
    let run = begin(w, w.stores[0]).await;
    let due = async |level| {
        let found = proofs(w, &scope("d", Some(w.stores[0]), level)).await;
        found.iter().filter(|proof| proof.proven_at < run.started_at).count()
    };
    let all = proofs(w, &scope("d", Some(w.stores[0]), ProofLevel::Exists)).await;
    w.catalog.record_proofs(run, ProofLevel::Exists, &all).await.unwrap();
    assert_eq!((due(ProofLevel::Exists).await, due(ProofLevel::Sealed).await), (0, 2));
    w.catalog.record_proofs(run, ProofLevel::Sealed, &all).await.unwrap();
    assert_eq!((due(ProofLevel::Exists).await, due(ProofLevel::Sealed).await), (0, 0));
}

/// What to look for is said while the catalog vouches for it.
pub async fn targets_come_in_the_order_asked(w: &World) {
    let (changeset, version) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    w.work(&w.stores[..1], &stored()).await;
    let mut asked = proofs(w, &scope("d", None, ProofLevel::Sealed)).await;
    asked.reverse();
    let targets = w.catalog.proof_targets(&asked).await.unwrap();
    for (proof, target) in asked.iter().zip(&targets) {
        match (proof.object, target.clone().unwrap()) {
            (Vouched::Blob(_), ProofTarget::Blob { content_hash, sealed_hash, bytes }) => {
                let n = proof.bytes - 100;
                assert_eq!((content_hash, sealed_hash, bytes), (content(n), sealed(n), proof.bytes));
            }
            (Vouched::Manifest(of), ProofTarget::Manifest { version: found, header, body, .. }) => {
                assert_eq!((of, found, header.1 + body.1), (changeset, version, proof.bytes));
            }
            other => panic!("{other:?}"),
        }
    }
    let elsewhere = asked.iter().map(|proof| Proof { backend: w.stores[1], ..*proof }).collect::<Vec<_>>();
    assert!(w.catalog.proof_targets(&elsewhere).await.unwrap().iter().all(Option::is_none));
}

/// Pending again, with a job that says so; the versions whose own rows need it wait for it, the others show it.
pub async fn damage_is_replaced_by_a_job(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    let (second, _) = w.push(&w.spec("d"), &[put("y", &[3])]).await;
    let (other, _) = w.push(&w.spec("e"), &[put("z", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    lose(w, "d", w.stores[0], 1).await;
    w.audit().await;
    w.fold().await;
    for (changeset, expected) in [(first, Pushing), (second, Completed), (other, Pushing)] {
        assert_eq!(status(w, changeset).await, expected);
    }
    let record = w.catalog.changeset(first).await.unwrap();
    assert_eq!((record.stores[0].waiting, record.completed_at), (1, None));
    let listed = w.catalog.damages(&DamageScope::default(), 9).await.unwrap();
    assert_eq!((listed.len(), listed[0].pending, listed[0].lost), (1, true, false));
    let claims = w.claim(w.stores[0]).await;
    let target = blob_of(&claims[0]).unwrap();
    assert_eq!(
        (claims.len(), target.sealed_hash, target.repair, claims[0].retry_count),
        (1, sealed(1), true, 0)
    );
    assert_eq!(w.catalog.copies(target.blob).await.unwrap().len(), 1);
    w.finish(&claims, &retry(MINUTE, true)).await;
    w.advance(MINUTE * 2).await;
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(
        settled.iter().map(|settled| settled.changeset).collect::<BTreeSet<_>>(),
        [first, other].into()
    );
    assert_eq!(w.catalog.damages(&DamageScope::default(), 9).await.unwrap(), []);
    assert_eq!(status(w, first).await, Completed);
}

/// The truth while a copy is being replaced, and once for each generation.
pub async fn min_copies_elsewhere_degrade(w: &World) {
    let one = OpenPush { min_copies: Some(1), ..w.spec("d") };
    let (changeset, _) = w.push(&one, &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    lose(w, "d", w.stores[0], 1).await;
    assert_eq!(status(w, changeset).await, Degraded);
    w.fold().await;
    assert_eq!(status(w, changeset).await, Degraded);
    lose(w, "d", w.stores[1], 1).await;
    assert_eq!(status(w, changeset).await, Pushing, "neither store is whole");
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled.len(), 1);
    assert_eq!(status(w, changeset).await, Completed);
}

/// The header that is there does not make the store whole. A retry begins again, still as a repair.
pub async fn a_failed_repair_breaks_the_store(w: &World) {
    let one = OpenPush { min_copies: Some(1), ..w.spec("d") };
    let (changeset, _) = w.push(&one, &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    lose(w, "d", w.stores[0], 1).await;
    let settled = w.work(&w.stores[..1], &failed()).await;
    assert_eq!(settled.iter().map(|settled| settled.status).collect::<Vec<_>>(), [Degraded]);
    let record = w.catalog.changeset(changeset).await.unwrap();
    assert!(record.completed_at.is_some() && record.stores[0].failed == 1);
    assert_eq!(record.stores[0].manifest, ManifestState::Completed);
    let listed =
        w.catalog.damages(&DamageScope { backend: Some(store("a")), ..Default::default() }, 9).await.unwrap();
    assert_eq!((listed.len(), listed[0].pending, listed[0].lost), (1, false, false));
    assert_eq!(w.catalog.retry_failed(&FailedFilter::default(), 9).await.unwrap().placements, 1);
    let claims = w.claim(w.stores[0]).await;
    assert!(blob_of(&claims[0]).unwrap().repair);
    w.finish(&claims, &stored()).await;
    w.fold().await;
    assert_eq!(status(w, changeset).await, Completed);
}

/// A header says that all of its version is there: it waits for what an earlier version lost, however that ends.
pub async fn no_header_over_a_hole(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    lose(w, "d", w.stores[0], 1).await;
    let repair = w.claim(w.stores[0]).await;
    let (second, _) = w.push(&w.spec("d"), &[put("y", &[2])]).await;
    let (third, _) = w.push(&w.spec("d"), &[put("y", &[3])]).await;
    w.work(&w.stores, &stored()).await;
    let manifests = async || {
        let records = [w.catalog.changeset(second).await.unwrap(), w.catalog.changeset(third).await.unwrap()];
        records.map(|record| record.stores[0].manifest)
    };
    assert_eq!(manifests().await, [ManifestState::Waiting; 2]);
    assert_eq!(status(w, second).await, Pushing);
    w.finish(&repair, &failed()).await;
    w.work(&w.stores, &stored()).await;
    assert_eq!(manifests().await, [ManifestState::Blocked; 2]);
    assert_eq!(status(w, second).await, Failed);
    w.catalog.retry_failed(&FailedFilter::default(), 9).await.unwrap();
    w.work(&w.stores, &stored()).await;
    assert_eq!(manifests().await, [ManifestState::Completed; 2]);
    assert_eq!((status(w, second).await, status(w, third).await), (Completed, Completed));
}

/// Asked for at open; another sealing takes the place of the first, and the earlier version is whole again with it.
pub async fn the_last_copy_is_sent_again(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    lose(w, "d", w.stores[0], 1).await;
    assert_eq!(w.open("probe").await.resend, [], "another store has it");
    let last = copy(w, "d", w.stores[1], 1).await;
    assert_eq!(w.catalog.record_damage(None, &[damaged(last, sealed(1))]).await.unwrap(), [true]);
    let listed =
        w.catalog.damages(&DamageScope { dataset: "d".parse().ok(), ..Default::default() }, 9).await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|damage| damage.lost));
    w.work(&w.stores, &failed()).await;
    assert_eq!(status(w, first).await, Failed);
    let open = w.open("d").await;
    assert_eq!(open.resend, [content(1)]);
    let mut again = w.staged(1);
    again.staged.sealed_hash = sealed(1001);
    assert!(w.catalog.record_staged(&open.lease, &[again]).await.unwrap()[0].keep_staged);
    assert_eq!(w.catalog.replaced_sealings(&open.lease).await.unwrap(), [(sealed(1), sealed(1001))]);
    // The file has not changed, so no entry asks for it.
    w.commit(&open.lease, 0).await;
    w.work(&w.stores, &stored()).await;
    assert_eq!(status(w, first).await, Completed);
    assert_eq!(status(w, open.lease.changeset).await, Completed);
    assert_eq!(w.catalog.damages(&DamageScope::default(), 9).await.unwrap(), []);
}

/// Between a push's entries and its commit, too.
pub async fn a_push_learns_of_a_loss_before_it_commits(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    let open = w.open("d").await;
    w.catalog.offer(&open.lease, &[content(1)]).await.unwrap();
    w.enter(&open.lease, 1, &[put("y", &[1])]).await;
    lose(w, "d", w.stores[0], 1).await;
    let last = copy(w, "d", w.stores[1], 1).await;
    w.catalog.record_damage(None, &[damaged(last, sealed(1))]).await.unwrap();
    let refused = w.catalog.commit_push(&open.lease, &w.commitment(1)).await.unwrap_err();
    assert!(matches!(&refused, crate::CatalogError::Unsourced(lost) if *lost == [content(1)]), "{refused}");
    w.send(&open.lease, &[1]).await;
    w.commit(&open.lease, 1).await;
    w.work(&w.stores, &stored()).await;
    assert_eq!(status(w, open.lease.changeset).await, Completed);
}

/// As a repair, which may replace what is there.
pub async fn a_damaged_manifest_is_copied_again(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores, &stored()).await;
    let found = proofs(w, &scope("d", Some(w.stores[1]), ProofLevel::Sealed)).await;
    let manifest = *found.iter().find(|proof| proof.object == Vouched::Manifest(changeset)).unwrap();
    let damage = damaged(manifest, sealed(1));
    assert_eq!(w.catalog.record_damage(None, std::slice::from_ref(&damage)).await.unwrap(), [true]);
    assert_eq!(w.catalog.record_damage(None, &[damage]).await.unwrap(), [false], "it is known");
    assert_eq!(status(w, changeset).await, Pushing);
    assert_eq!(w.catalog.manifest_copies(changeset).await.unwrap(), w.stores[..1]);
    let listed = w.catalog.damages(&DamageScope::default(), 9).await.unwrap();
    assert_eq!((listed.len(), listed[0].object, listed[0].lost), (1, Vouched::Manifest(changeset), false));
    let claims = w.claim(w.stores[1]).await;
    assert!(
        matches!(&claims[0].target, ClaimTarget::Manifest(target) if target.repair && target.changeset == changeset)
    );
    w.finish(&claims, &stored()).await;
    w.fold().await;
    assert_eq!(status(w, changeset).await, Completed);
    assert_eq!(w.catalog.damages(&DamageScope::default(), 9).await.unwrap(), []);
}

/// A copy that is pending, or that was sealed anew meanwhile, is not what was looked at.
pub async fn what_is_not_vouched_for_is_not_damaged(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores[..1], &stored()).await;
    let copy = copy(w, "d", w.stores[0], 1).await;
    let run = begin(w, w.stores[0]).await;
    let pending = Proof { backend: w.stores[1], ..copy };
    let damages = [
        damaged(pending, sealed(1)),
        damaged(copy, sealed(2)),
        damaged(copy, sealed(1)),
        damaged(copy, sealed(1)),
    ];
    assert_eq!(w.catalog.record_damage(Some(run), &damages).await.unwrap(), [false, false, true, false]);
    let last = w.catalog.proof_overview(w.stores[0]).await.unwrap();
    assert_eq!((last.damaged, last.last.unwrap().damaged), (1, 1));
    // A proof that comes late does not hide the damage.
    w.catalog.record_proofs(run, ProofLevel::Sealed, &[copy]).await.unwrap();
    assert_eq!(w.catalog.damages(&DamageScope::default(), 9).await.unwrap().len(), 1);
}

/// By a lease that records extend; runs over a dataset take no part in it.
pub async fn one_run_at_a_time_goes_over_everything(w: &World) {
    let everything = new_run(w.stores[0], None);
    let run = w.catalog.begin_validation(&everything).await.unwrap().unwrap();
    assert_eq!(w.other.begin_validation(&everything).await.unwrap(), None);
    assert!(w.other.begin_validation(&new_run(w.stores[1], None)).await.unwrap().is_some());
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    assert!(w.other.begin_validation(&new_run(w.stores[0], Some("d"))).await.unwrap().is_some());
    for _ in 0..3 {
        w.advance(MINUTE * 3 / 4).await;
        assert!(w.catalog.keep_validation(run).await.unwrap() > Some(run.started_at));
        assert_eq!(w.other.begin_validation(&everything).await.unwrap(), None);
    }
    w.advance(MINUTE * 2).await;
    let next = w.other.begin_validation(&everything).await.unwrap().unwrap();
    assert_eq!(w.catalog.keep_validation(run).await.unwrap(), None);
    assert!(!w.catalog.record_proofs(run, ProofLevel::Sealed, &[]).await.unwrap(), "it was taken over");
    let end = ValidationEnd { unchecked: 3, stopped: Some("shut down".into()) };
    w.other.end_validation(next, &end).await.unwrap();
    let again = w.catalog.begin_validation(&everything).await.unwrap();
    assert!(again.is_some());
    w.catalog.end_validation(again.unwrap(), &end).await.unwrap();
    let last = w.catalog.proof_overview(w.stores[0]).await.unwrap().last.unwrap();
    assert!(last.end == end && last.ended_at.is_some());
}

/// Every kind of row that leads to an object.
pub async fn who_needs_a_copy_is_named(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2, 3]).await;
    w.enter(&open.lease, 1, &[put("a", &[1]), put("b", &[1]), put("c", &[2, 1])]).await;
    let group = NewGroup { kind: GroupKind::List, since: Version(0), entries: 1, segments: vec![content(3)] };
    w.catalog.record_groups(&open.lease, &[group]).await.unwrap();
    w.commit(&open.lease, 1).await;
    w.work(&w.stores, &stored()).await;
    let names = async |object, limit| {
        let found = w.catalog.affected(object, limit).await.unwrap();
        assert!(found.iter().all(|needs| needs.dataset.as_str() == "d" && needs.version == Version(1)));
        found.into_iter().map(|needs| needs.path).collect::<BTreeSet<_>>()
    };
    let of = async |n| copy(w, "d", w.stores[0], n).await.object;
    assert_eq!(names(of(1).await, 9).await, ["a", "b", "c"].map(|name| Some(path(name))).into());
    assert_eq!(names(of(1).await, 2).await.len(), 2);
    assert_eq!(names(of(2).await, 9).await, [Some(path("c"))].into());
    assert_eq!(names(of(3).await, 9).await, [None].into());
    assert_eq!(names(Vouched::Manifest(open.lease.changeset), 9).await, [None].into());
    assert_eq!(w.rows("d", Selector::Latest).await.len(), 3);
}
