//! Promises of [`crate::Completion`], whose folder is the only one to settle a changeset.

use n2s_domain::ChangesetStatus::{Completed, Degraded, Failed, Pushing};

use super::World;
use super::world::{content, failed, put, stored};
use crate::{FailedFilter, ManifestState, OpenPush, Settled};

fn all() -> FailedFilter {
    FailedFilter::default()
}

/// Not before the last store, and never twice.
pub async fn settles_once_when_all_is_placed(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[put("x", &[1, 2]), put("y", &[2])]).await;
    assert_eq!(w.work(&w.stores[..1], &stored()).await, []);
    let record = w.catalog.changeset(changeset).await.unwrap();
    assert_eq!(record.status, Pushing);
    assert_eq!(record.stores[0].manifest, ManifestState::Completed);
    assert_eq!((record.stores[1].waiting, record.stores[1].manifest), (2, ManifestState::Waiting));
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled, [Settled { changeset, status: Completed }]);
    assert_eq!(w.work(&w.stores, &stored()).await, []);
    assert!(w.catalog.changeset(changeset).await.unwrap().completed_at.is_some());
}

/// Uploads run while the walk goes on.
pub async fn finished_before_commit_counts(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1]).await;
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    assert_eq!(w.work(&w.stores, &stored()).await, [], "an open push settled");
    w.commit(&open.lease, 1).await;
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled, [Settled { changeset: open.lease.changeset, status: Completed }]);
}

/// `min_copies` decides between the two.
pub async fn failed_and_degraded(w: &World) {
    let one = OpenPush { min_copies: Some(1), ..w.spec("d") };
    let (degraded, _) = w.push(&one, &[put("x", &[1])]).await;
    let (fails, _) = w.push(&w.spec("e"), &[put("x", &[2])]).await;
    w.work(&w.stores[..1], &failed()).await;
    let mut settled = w.work(&w.stores, &stored()).await;
    settled.sort_by_key(|settled| settled.changeset);
    let expected =
        [Settled { changeset: degraded, status: Degraded }, Settled { changeset: fails, status: Failed }];
    assert_eq!(settled, expected);
}

/// Each generation settles once.
pub async fn a_retry_begins_a_generation(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    for round in 0..3 {
        let settled = w.work(&w.stores, &failed()).await;
        assert_eq!(settled, [Settled { changeset, status: Failed }], "round {round}");
        assert_eq!(w.fold().await, []);
        assert_eq!(w.catalog.retry_failed(&all(), 9).await.unwrap().placements, 4);
        let record = w.catalog.changeset(changeset).await.unwrap();
        assert_eq!((record.status, record.completed_at), (Pushing, None));
        assert_eq!(w.fold().await, [], "settled while jobs are due");
    }
    assert_eq!(w.work(&w.stores, &stored()).await, [Settled { changeset, status: Completed }]);
    assert_eq!(w.fold().await, []);
}

/// One upload serves every changeset that waits for it.
pub async fn waiters_are_shared(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let (second, _) = w.push(&w.spec("e"), &[put("x", &[1, 2])]).await;
    w.fold().await;
    let claims = w.claim(w.stores[0]).await;
    assert_eq!(claims.len(), 2);
    w.finish(&claims, &stored()).await;
    w.fold().await;
    for changeset in [first, second] {
        assert_eq!(w.catalog.changeset(changeset).await.unwrap().stores[0].waiting, 0);
    }
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|settled| settled.status == Completed));
}

/// A later push of a failed blob tries it again, for those that had given up, too.
pub async fn a_rearmed_placement_reopens_who_waited(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    assert_eq!(w.work(&w.stores, &failed()).await, [Settled { changeset: first, status: Failed }]);
    let open = w.open("e").await;
    w.catalog.offer(&open.lease, &[content(1)]).await.unwrap();
    let recorded = w.catalog.record_entries(&open.lease, 1, &[put("y", &[1])]).await.unwrap();
    assert_eq!(recorded.jobs, 2);
    w.commit(&open.lease, 1).await;
    assert_eq!(w.catalog.changeset(first).await.unwrap().status, Pushing);
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|settled| settled.status == Completed));
}

/// A header says that the whole version is there, inherited blobs included.
pub async fn a_child_waits_for_its_parent(w: &World) {
    let (parent, _) = w.push(&w.spec("d"), &[put("x", &[1])]).await;
    w.work(&w.stores[..1], &failed()).await;
    let (child, _) = w.push(&w.spec("d"), &[put("y", &[2])]).await;
    let settled = w.work(&w.stores, &stored()).await;
    assert!(settled.contains(&Settled { changeset: child, status: Failed }), "{settled:?}");
    let record = w.catalog.changeset(child).await.unwrap();
    assert_eq!(record.stores[0].manifest, ManifestState::Blocked);
    assert_eq!(record.stores[1].manifest, ManifestState::Completed);
    assert_eq!(w.catalog.manifest_copies(child).await.unwrap(), [w.stores[1]]);
    w.catalog.retry_failed(&FailedFilter { changeset: Some(parent), ..all() }, 9).await.unwrap();
    w.work(&w.stores, &stored()).await;
    for changeset in [parent, child] {
        assert_eq!(w.catalog.changeset(changeset).await.unwrap().status, Completed);
    }
}

/// The folder makes its job again.
pub async fn a_failed_manifest_is_retried(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[]).await;
    assert_eq!(w.work(&w.stores, &failed()).await, [Settled { changeset, status: Failed }]);
    let retried = w.catalog.retry_failed(&all(), 9).await.unwrap();
    assert_eq!((retried.placements, retried.manifests), (0, 2));
    assert_eq!(w.work(&w.stores, &stored()).await, [Settled { changeset, status: Completed }]);
}

/// Counters that are behind show a push as it was when half entered, with nothing to wait for: its header must not go first.
pub async fn a_backlog_is_not_taken_for_the_end(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2]).await;
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    for store in &w.stores {
        let claims = w.claim(*store).await;
        w.finish(&claims, &stored()).await;
    }
    w.enter(&open.lease, 2, &[put("y", &[2])]).await;
    w.commit(&open.lease, 2).await;
    while w.catalog.fold(1).await.unwrap().1 {
        let record = w.catalog.changeset(open.lease.changeset).await.unwrap();
        assert!(record.stores.iter().all(|store| store.manifest == ManifestState::Waiting), "{record:?}");
    }
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!(settled, [Settled { changeset: open.lease.changeset, status: Completed }]);
}
