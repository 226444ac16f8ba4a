//! Promises of [`crate::Pushes`].

use n2s_domain::{ChangesetStatus, Version};

use super::World;
use super::world::{HOUR, VAULT, blob_of, content, put, remove, sealed, store, stored};
use crate::{CatalogError, Finish, Offered, OpenPush, Selector, StagedKey, StepOver, TakeOver};

/// The parent is the head, not the number before.
pub async fn versions_are_reserved_and_never_reused(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let open = w.open("d").await;
    assert_eq!((open.version, open.parent.unwrap().changeset), (Version(2), first));
    assert_eq!((open.resumed, open.parent.unwrap().file_count), (None, 1));
    w.catalog.abandon_push(open.lease.changeset, Some(&open.lease)).await.unwrap();
    w.undo().await;
    let next = w.open("d").await;
    assert_eq!((next.version, next.parent.unwrap().version), (Version(3), Version(1)));
}

/// Upward only, and the push that is open keeps its own; a dataset that is not known yet begins above.
pub async fn numbers_are_stepped_over(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let open = w.open("d").await;
    let past = |spec: &OpenPush, latest| StepOver {
        project: spec.project.clone(),
        dataset: spec.dataset.clone(),
        vault: spec.vault,
        store_key: spec.store_key,
        latest: Version(latest),
    };
    let known = w.spec("d");
    for (latest, from, to) in [(7, 3, 8), (7, 8, 8), (4, 8, 8)] {
        let stepped = w.other.step_over(&past(&known, latest)).await.unwrap();
        assert_eq!((stepped.from, stepped.to), (Version(from), Version(to)));
    }
    w.commit(&open.lease, 0).await;
    let next = w.open("d").await;
    assert_eq!(
        (open.version, next.version, next.parent.unwrap().version),
        (Version(2), Version(8), Version(2))
    );
    let unknown = OpenPush { project: "lost".parse().unwrap(), ..w.spec("other") };
    let stepped = w.catalog.step_over(&past(&unknown, 3)).await.unwrap();
    assert_eq!((stepped.from, stepped.to), (Version(1), Version(4)));
    let opened = w.catalog.open_push(&unknown).await.unwrap();
    assert_eq!((opened.version, opened.parent, opened.backends.len()), (Version(4), None, 2));
    let foreign = StepOver { vault: n2s_domain::VaultId([9; 8]), ..past(&known, 20) };
    assert!(matches!(w.catalog.step_over(&foreign).await, Err(CatalogError::WrongVault { .. })));
}

/// Neither to another client nor to the same one.
pub async fn a_live_push_is_not_given_away(w: &World) {
    let open = w.open("d").await;
    for client in ["client", "other"] {
        let again = OpenPush { client_id: client.into(), ..w.spec("d") };
        let refused = w.other.open_push(&again).await.unwrap_err();
        let CatalogError::Held(held) = refused else { panic!("{refused}") };
        assert_eq!((held.changeset, held.lapsed), (open.lease.changeset, false));
        assert_eq!(held.client_id, "client");
    }
    w.catalog.renew_push(&open.lease, HOUR).await.unwrap();
    w.advance(HOUR / 2).await;
    assert!(w.other.open_push(&w.spec("d")).await.is_err(), "the renewal was forgotten");
    w.advance(HOUR).await;
    let other = OpenPush { client_id: "other".into(), ..w.spec("d") };
    let refused = w.other.open_push(&other).await.unwrap_err();
    assert!(matches!(refused, CatalogError::Held(held) if held.lapsed));
}

/// The same changeset and version go on; the old token is worth nothing.
pub async fn a_lapsed_push_is_resumed_by_its_client(w: &World) {
    let open = w.open("d").await;
    w.enter(&open.lease, 4, &[]).await;
    w.enter(&open.lease, 2, &[]).await;
    w.advance(HOUR).await;
    let again = w.other.open_push(&w.spec("d")).await.unwrap();
    assert_eq!((again.version, again.lease.changeset), (open.version, open.lease.changeset));
    assert_eq!((again.resumed, again.recorded), (Some(4), 2));
    let refused = w.catalog.record_entries(&open.lease, 5, &[]).await.unwrap_err();
    assert!(matches!(refused, CatalogError::LeaseLost(id) if id == open.lease.changeset));
    let refused = w.catalog.commit_push(&open.lease, &w.commitment(2)).await.unwrap_err();
    assert!(matches!(refused, CatalogError::LeaseLost(_)));
    w.commit(&again.lease, 2).await;
}

/// A caller that knows its former self is dead need not wait for the lease.
pub async fn the_dead_are_replaced_at_once(w: &World) {
    let open = w.open("d").await;
    let take = OpenPush { take_over: TakeOver::OwnEvenIfLive, ..w.spec("d") };
    let stranger = OpenPush { client_id: "other".into(), ..take.clone() };
    assert!(matches!(w.other.open_push(&stranger).await, Err(CatalogError::Held(_))));
    let again = w.other.open_push(&take).await.unwrap();
    assert_eq!(again.resumed, Some(0));
    assert!(matches!(w.catalog.offer(&open.lease, &[]).await, Err(CatalogError::LeaseLost(_))));
    w.other.offer(&again.lease, &[]).await.unwrap();
}

/// Nobody opens before the undo has finished.
pub async fn abandoned_by_another_it_is_undone_first(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1]).await;
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    let spec = OpenPush { take_over: TakeOver::Abandon, client_id: "other".into(), ..w.spec("d") };
    for _ in 0..2 {
        assert!(matches!(w.other.open_push(&spec).await, Err(CatalogError::Undoing(_))));
    }
    assert!(matches!(w.catalog.renew_push(&open.lease, HOUR).await, Err(CatalogError::LeaseLost(_))));
    w.undo().await;
    assert_eq!(w.other.open_push(&spec).await.unwrap().version, Version(2));
    let record = w.catalog.changeset(open.lease.changeset).await.unwrap();
    assert_eq!(record.status, ChangesetStatus::Failed);
}

/// Another vault, other stores, a store nobody knows: refused, and nothing is made.
pub async fn a_push_is_refused_what_was_fixed(w: &World) {
    let unknown = OpenPush { backends: vec![store("nowhere")], ..w.spec("d") };
    assert!(matches!(
        w.catalog.open_push(&unknown).await,
        Err(CatalogError::Unknown { what: "backend", .. })
    ));
    assert_eq!(w.catalog.datasets(None).await.unwrap(), []);
    let only_a = OpenPush { backends: vec![store("a")], ..w.spec("d") };
    w.push(&only_a, &[put("x", &[1])]).await;
    let both = OpenPush { backends: vec![store("a"), store("b")], ..w.spec("d") };
    assert!(matches!(w.catalog.open_push(&both).await, Err(CatalogError::BackendsFixed { .. })));
    let elsewhere = OpenPush { vault: n2s_domain::VaultId(*b"vaultBBB"), ..w.spec("d") };
    let objects = crate::VaultObjects { vault: elsewhere.vault, marker: b"m".to_vec(), epochs: Vec::new() };
    w.catalog.register_vault(&objects).await.unwrap();
    let refused = w.catalog.open_push(&elsewhere).await.unwrap_err();
    assert!(matches!(refused, CatalogError::WrongVault { registered: VAULT, .. }));
    assert_eq!(w.open("d").await.backends, [store("a")]);
}

/// In the order asked; another project's contents do not count.
pub async fn offers_pin_what_exists(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let open = w.open("d").await;
    let answers = w.catalog.offer(&open.lease, &[content(2), content(1), content(2)]).await.unwrap();
    assert_eq!(answers, [Offered::Missing, Offered::Held(sealed(1)), Offered::Missing]);
    let stranger = OpenPush { project: "q".parse().unwrap(), ..w.spec("d") };
    let lease = w.catalog.open_push(&stranger).await.unwrap().lease;
    assert_eq!(w.catalog.offer(&lease, &[content(1)]).await.unwrap(), [Offered::Missing]);
}

/// Later sealings are told to go, also within one call.
pub async fn the_first_sealing_is_kept(w: &World) {
    let open = w.open("d").await;
    let first = w.staged(1);
    let mut second = w.staged(1);
    second.staged.sealed_hash = sealed(1001);
    let answers = w.catalog.record_staged(&open.lease, &[first, second]).await.unwrap();
    assert_eq!(answers.iter().map(|a| a.keep_staged).collect::<Vec<_>>(), [true, false]);
    assert!(answers.iter().all(|answer| answer.sealed_hash == sealed(1)));
    let answers = w.catalog.record_staged(&open.lease, &[second]).await.unwrap();
    assert_eq!((answers[0].keep_staged, answers[0].sealed_hash), (false, sealed(1)));
}

/// A refused batch changes nothing and can be sent again under its number.
pub async fn entries_need_a_source(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1]).await;
    let batch = [put("x", &[1]), put("y", &[2, 1])];
    let refused = w.catalog.record_entries(&open.lease, 1, &batch).await.unwrap_err();
    assert!(matches!(&refused, CatalogError::Unsourced(lost) if *lost == [content(2)]), "{refused}");
    assert_eq!(w.rows("d", Selector::Open(open.lease.changeset)).await.len(), 0);
    assert_eq!(w.claim(w.stores[0]).await.len(), 0);
    w.send(&open.lease, &[2]).await;
    w.enter(&open.lease, 1, &batch).await;
    assert_eq!(w.rows("d", Selector::Open(open.lease.changeset)).await.len(), 2);
}

/// In any order, more than once; a path given twice is as it was given last.
pub async fn batches_repeat_without_effect(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2]).await;
    w.enter(&open.lease, 2, &[put("y", &[2])]).await;
    let first = w.catalog.record_entries(&open.lease, 1, &[put("x", &[1])]).await.unwrap();
    assert_eq!((first.jobs, first.repeated), (2, false));
    let again = w.catalog.record_entries(&open.lease, 1, &[remove("y")]).await.unwrap();
    assert_eq!((again.jobs, again.repeated), (0, true));
    w.enter(&open.lease, 3, &[put("x", &[2]), remove("absent")]).await;
    w.commit(&open.lease, 3).await;
    let rows = w.rows("d", Selector::Latest).await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.blobs[0].content_hash == content(2)));
}

/// A commit whose answer was lost is answered again.
pub async fn commit_counts_batches_and_repeats(w: &World) {
    let open = w.open("d").await;
    w.enter(&open.lease, 1, &[]).await;
    let refused = w.catalog.commit_push(&open.lease, &w.commitment(2)).await.unwrap_err();
    assert!(matches!(refused, CatalogError::BatchesMissing { arrived: 1, announced: 2 }));
    let commit = w.commitment(1);
    assert!(!w.catalog.commit_push(&open.lease, &commit).await.unwrap().repeated);
    let again = w.other.commit_push(&open.lease, &commit).await.unwrap();
    assert_eq!((again.version, again.repeated), (open.version, true));
    assert!(w.catalog.abandon_push(open.lease.changeset, None).await.is_err());
    assert!(matches!(w.catalog.offer(&open.lease, &[]).await, Err(CatalogError::LeaseLost(_))));
}

/// A staged object that vanished stops the commit until the content has come again, under whatever sealing.
pub async fn what_lost_its_source_is_sent_again(w: &World) {
    let open = w.open("d").await;
    let blob = w.staged(1);
    w.catalog.record_staged(&open.lease, &[blob]).await.unwrap();
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    w.catalog.staging_lost(&[blob.staged]).await.unwrap();
    let refused = w.catalog.commit_push(&open.lease, &w.commitment(1)).await.unwrap_err();
    assert!(matches!(&refused, CatalogError::Unsourced(lost) if *lost == [content(1)]), "{refused}");
    assert_eq!(w.catalog.offer(&open.lease, &[content(1)]).await.unwrap(), [Offered::Missing]);
    let mut again = w.staged(1);
    again.staged.sealed_hash = sealed(1001);
    let answers = w.catalog.record_staged(&open.lease, &[again]).await.unwrap();
    assert!(answers[0].keep_staged);
    w.commit(&open.lease, 1).await;
    let claims = w.claim(w.stores[0]).await;
    assert_eq!(super::world::blob_of(&claims[0]).unwrap().sealed_hash, sealed(1001));
}

/// A later push is told at open, and records the replacement.
pub async fn an_inherited_loss_is_asked_for_at_open(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let key: StagedKey = w.rows("d", Selector::Latest).await[0].blobs[0].staged.unwrap();
    w.catalog.staging_lost(&[key]).await.unwrap();
    let open = w.open("d").await;
    assert_eq!(open.resend, [content(1)]);
    let mut again = w.staged(1);
    again.staged.sealed_hash = sealed(1001);
    w.catalog.record_staged(&open.lease, &[again]).await.unwrap();
    let replaced = w.catalog.replaced_sealings(&open.lease).await.unwrap();
    assert_eq!(replaced, [(sealed(1), sealed(1001))]);
}

/// Added rows go, ended rows are open again, whatever the size of a step.
pub async fn undo_in_small_steps_restores_the_head(w: &World) {
    let names: Vec<_> = (0..7).map(|i| format!("f{i}")).collect();
    let first: Vec<_> = names.iter().map(|name| put(name, &[1, 2])).collect();
    w.push(&w.spec("d"), &first).await;
    let before = w.rows("d", Selector::Latest).await;
    let open = w.open("d").await;
    w.send(&open.lease, &[3]).await;
    let changes: Vec<_> = names.iter().map(|name| put(name, &[3])).collect();
    w.enter(&open.lease, 1, &changes).await;
    w.enter(&open.lease, 2, &[remove("f3"), put("new", &[3, 1])]).await;
    assert_eq!(w.rows("d", Selector::Latest).await, before, "an open push is visible");
    w.catalog.abandon_push(open.lease.changeset, None).await.unwrap();
    assert!(w.catalog.undo_step(1).await.unwrap());
    assert_eq!(w.rows("d", Selector::Latest).await, before, "an undo is visible");
    w.audit().await;
    assert!(matches!(w.catalog.open_push(&w.spec("d")).await, Err(CatalogError::Undoing(_))));
    w.undo().await;
    assert_eq!(w.rows("d", Selector::Latest).await, before);
    let next = w.open("d").await;
    assert_eq!(w.rows("d", Selector::Open(next.lease.changeset)).await, before);
    w.commit(&next.lease, 0).await;
    assert_eq!(w.rows("d", Selector::Latest).await, before);
    let settled = w.work(&w.stores, &stored()).await;
    assert!(settled.iter().all(|s| s.status == ChangesetStatus::Completed) && settled.len() == 2);
}

/// Another dataset that shares the blobs still completes.
pub async fn an_undone_push_leaves_other_waiters(w: &World) {
    let gone = w.open("d").await;
    w.send(&gone.lease, &[1, 2]).await;
    w.enter(&gone.lease, 1, &[put("x", &[1, 2])]).await;
    let (stays, _) = w.push(&w.spec("e"), &[put("y", &[1])]).await;
    w.catalog.abandon_push(gone.lease.changeset, None).await.unwrap();
    w.undo().await;
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled.iter().map(|s| s.changeset).collect::<Vec<_>>(), [stays]);
}

/// Every call counts as a sign of life.
pub async fn idle_pushes_are_given_up(w: &World) {
    let (idle, alive) = (w.open("d").await, w.open("e").await);
    w.advance(3 * HOUR).await;
    w.catalog.offer(&alive.lease, &[]).await.unwrap();
    w.advance(3 * HOUR).await;
    assert_eq!(w.catalog.abandon_idle(5 * HOUR).await.unwrap(), 1);
    assert_eq!(w.catalog.abandon_idle(5 * HOUR).await.unwrap(), 0);
    assert!(matches!(w.catalog.offer(&idle.lease, &[]).await, Err(CatalogError::LeaseLost(_))));
    w.catalog.offer(&alive.lease, &[]).await.unwrap();
}

/// What is on its stores by the time of the entries is not waited for.
pub async fn completed_between_offer_and_entries(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let open = w.open("e").await;
    assert_eq!(w.catalog.offer(&open.lease, &[content(1)]).await.unwrap(), [Offered::Held(sealed(1))]);
    w.work(&w.stores, &stored()).await;
    let recorded = w.catalog.record_entries(&open.lease, 1, &[put("y", &[1])]).await.unwrap();
    assert_eq!(recorded.jobs, 0);
    w.commit(&open.lease, 1).await;
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!((settled.len(), settled[0].status), (1, ChangesetStatus::Completed));
}

/// Offered by a push that is then abandoned, its object lost: whoever was told "exists" learns at entries or at commit.
pub async fn an_abandoned_push_takes_its_promise_along(w: &World) {
    let first = w.open("d").await;
    let blobs = [w.staged(1), w.staged(2)];
    w.catalog.record_staged(&first.lease, &blobs).await.unwrap();
    let second = w.open("e").await;
    let held = w.catalog.offer(&second.lease, &[content(1), content(2)]).await.unwrap();
    assert_eq!(held, [Offered::Held(sealed(1)), Offered::Held(sealed(2))]);
    w.enter(&second.lease, 1, &[put("y", &[1])]).await;
    w.catalog.abandon_push(first.lease.changeset, None).await.unwrap();
    w.undo().await;
    w.catalog.staging_lost(&blobs.map(|blob| blob.staged)).await.unwrap();
    let entries = w.catalog.record_entries(&second.lease, 2, &[put("z", &[2])]).await;
    assert!(matches!(entries, Err(CatalogError::Unsourced(lost)) if lost == [content(2)]));
    let commit = w.catalog.commit_push(&second.lease, &w.commitment(1)).await;
    assert!(matches!(commit, Err(CatalogError::Unsourced(lost)) if lost == [content(1)]));
    w.send(&second.lease, &[1, 2]).await;
    w.enter(&second.lease, 2, &[put("z", &[2])]).await;
    w.commit(&second.lease, 2).await;
}

/// The blob is the new bytes: an upload of the old ones, still under way, must not pass for it.
pub async fn a_replaced_sealing_fences_uploads_of_the_old_one(w: &World) {
    let open = w.open("d").await;
    let blob = w.staged(1);
    w.catalog.record_staged(&open.lease, &[blob]).await.unwrap();
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    let old = w.claim(w.stores[0]).await;
    w.catalog.staging_lost(&[blob.staged]).await.unwrap();
    let mut again = w.staged(1);
    again.staged.sealed_hash = sealed(1001);
    w.catalog.record_staged(&open.lease, &[again]).await.unwrap();
    let late = [Finish { claim: old[0].claim, outcome: stored() }];
    assert_eq!(w.other.finish(&late).await.unwrap().accepted, [false]);
    let new = w.claim(w.stores[0]).await;
    assert_eq!(blob_of(&new[0]).unwrap().sealed_hash, sealed(1001));
    w.finish(&new, &stored()).await;
    w.commit(&open.lease, 1).await;
}

/// Lost from staging, and then on a store after all, because a worker had read it before: nobody needs to send it again.
pub async fn what_reached_a_store_is_not_asked_for(w: &World) {
    let open = w.open("d").await;
    let blob = w.staged(1);
    w.catalog.record_staged(&open.lease, &[blob]).await.unwrap();
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    let claims = w.claim(w.stores[0]).await;
    w.catalog.staging_lost(&[blob.staged]).await.unwrap();
    w.finish(&claims, &stored()).await;
    w.commit(&open.lease, 1).await;
    assert_eq!(w.open("d").await.resend, []);
}
