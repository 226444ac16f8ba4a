//! Promises of [`crate::Operate`].

use n2s_domain::{ChangesetId, ChangesetStatus, FailureKind};

use super::World;
use super::world::{content, failed, path, put, sealed, store, stored};
use crate::{CatalogError, FailedFilter, FailedUpload, Page};

async fn failures(w: &World, filter: &FailedFilter) -> Vec<FailedUpload> {
    let mut all = Vec::new();
    let mut page = Page { after: None, limit: 2 };
    loop {
        let next = w.catalog.failed_uploads(filter, &page).await.unwrap();
        let Some(last) = next.last() else { return all };
        page.after = Some(last.key.clone());
        all.extend(next);
    }
}

/// Pages join up; each filter leaves what matches.
pub async fn failures_are_listed_and_filtered(w: &World) {
    let (first, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    w.push(&w.spec("e"), &[put("z", &[3])]).await;
    w.work(&w.stores, &failed()).await;
    let all = FailedFilter::default();
    let found = failures(w, &all).await;
    assert_eq!(found.len(), 6);
    let one = found.iter().find(|f| f.content_hash == Some(content(3)) && f.backend == store("b")).unwrap();
    assert_eq!(
        (one.sealed_hash, one.kind, one.message.as_str()),
        (sealed(3), FailureKind::Corrupt, "given up")
    );
    assert_eq!((one.path.clone(), one.retry_count), (Some(path("z")), 1));
    let count = async |filter: FailedFilter| failures(w, &filter).await.len();
    assert_eq!(count(FailedFilter { backend: Some(store("a")), ..all.clone() }).await, 3);
    assert_eq!(count(FailedFilter { dataset: "d".parse().ok(), ..all.clone() }).await, 4);
    assert_eq!(count(FailedFilter { changeset: Some(first), ..all.clone() }).await, 4);
    assert_eq!(count(FailedFilter { project: "q".parse().ok(), ..all.clone() }).await, 0);
    assert_eq!(count(FailedFilter { kind: Some(FailureKind::Denied), ..all.clone() }).await, 0);
}

/// As if it had never failed; called until nothing is left.
pub async fn a_retry_has_a_fresh_budget(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    w.work(&w.stores, &failed()).await;
    let only_a = FailedFilter { backend: Some(store("a")), ..FailedFilter::default() };
    assert_eq!(w.catalog.retry_failed(&only_a, 1).await.unwrap().placements, 1);
    assert_eq!(w.catalog.retry_failed(&only_a, 9).await.unwrap().placements, 1);
    assert_eq!(w.catalog.retry_failed(&only_a, 9).await.unwrap().placements, 0);
    let claims = w.claim(w.stores[0]).await;
    assert_eq!(claims.iter().map(|c| (c.retry_count, c.alone)).collect::<Vec<_>>(), [(0, false), (0, false)]);
    assert_eq!(w.claim(w.stores[1]).await, []);
    w.finish(&claims, &stored()).await;
    assert_eq!(failures(w, &only_a).await, []);
}

/// What is pending fails with kind `cancelled`, uncharged; a worker that is at it ends it; a retry starts again.
pub async fn a_cancelled_changeset_fails_and_can_be_retried(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    let leased = w.claim(w.stores[0]).await;
    assert!(!leased.is_empty());
    let mut cancelled = 0;
    while let n @ 1.. = w.catalog.cancel(changeset, 1).await.unwrap() {
        cancelled += n;
    }
    let found = failures(w, &FailedFilter::default()).await;
    assert_eq!(found.iter().filter(|f| f.content_hash.is_some()).count() as u64, cancelled);
    assert!(cancelled > 0);
    for failure in &found {
        assert_eq!((failure.kind, failure.retry_count), (FailureKind::Cancelled, 0));
        assert_eq!(failure.backend, store("b"), "what a worker holds is left to it");
    }
    w.finish(&leased, &stored()).await;
    w.work(&w.stores, &stored()).await;
    let record = w.catalog.changeset(changeset).await.unwrap();
    assert_eq!(record.status, ChangesetStatus::Failed);
    assert_eq!(w.catalog.retry_failed(&FailedFilter::default(), 99).await.unwrap().placements, cancelled);
    w.work(&w.stores, &stored()).await;
    w.fold().await;
    assert_eq!(w.catalog.changeset(changeset).await.unwrap().status, ChangesetStatus::Completed);
    let absent = w.catalog.cancel(ChangesetId(uuid::Uuid::from_u128(7)), 1).await;
    assert!(matches!(absent, Err(CatalogError::Unknown { what: "changeset", .. })), "{absent:?}");
}

/// A blob that another changeset waits for as well goes on.
pub async fn nothing_others_wait_for_is_cancelled(w: &World) {
    let (one, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    let (other, _) = w.push(&w.spec("e"), &[put("z", &[1])]).await;
    w.catalog.cancel(one, 99).await.unwrap();
    let found = failures(w, &FailedFilter::default()).await;
    assert!(found.iter().all(|failure| failure.content_hash != Some(content(1))), "{found:?}");
    assert!(found.iter().any(|failure| failure.content_hash == Some(content(2))), "{found:?}");
    w.work(&w.stores, &stored()).await;
    w.fold().await;
    assert_eq!(w.catalog.changeset(other).await.unwrap().status, ChangesetStatus::Completed);
}
