//! Promises of [`crate::Validation`] about what was found damaged, and how it becomes whole.

use std::collections::BTreeSet;

use n2s_domain::ChangesetStatus::{Completed, Degraded, Failed, Pushing};
use n2s_domain::{BackendId, ChangesetId, FailureKind, ProofLevel, SealedHash, Version};

use super::World;
use super::validation::{begin, copy, proofs, scope};
use super::world::{MINUTE, blob_of, content, failed, path, put, retry, sealed, store, stored};
use crate::{
    ClaimTarget, Damage, DamageScope, FailedFilter, GroupKind, ManifestState, NewGroup, OpenPush, Proof,
    Selector, Vouched,
};

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
    // Between the owner and who inherits from it.
    w.push(&w.spec("d"), &[put("z", &[9])]).await;
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
