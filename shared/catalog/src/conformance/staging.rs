//! Promises of [`crate::StagingBook`].

use n2s_domain::BlobId;

use super::World;
use super::world::{HOUR, blob_of, content, failed, put, sealed, stored};
use crate::{OpenPush, StagedKey};

async fn is_staged(w: &World, blob: BlobId) -> bool {
    w.catalog.staged(blob).await.unwrap().is_some()
}

/// Neither a pending nor a failed placement lets go of its source.
pub async fn kept_while_anything_needs_it(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    let claims = w.claim(w.stores[0]).await;
    let blob = blob_of(&claims[0]).unwrap().blob;
    assert_eq!(w.finish(&claims, &stored()).await, []);
    assert!(is_staged(w, blob).await);
    w.advance(100 * HOUR).await;
    assert_eq!(w.catalog.free_unneeded(HOUR, 9).await.unwrap(), []);
    let claims = w.claim(w.stores[1]).await;
    assert_eq!(w.finish(&claims, &failed()).await, []);
    assert_eq!(w.catalog.free_unneeded(HOUR, 9).await.unwrap(), []);
    assert_eq!(w.catalog.staged_total().await.unwrap(), (1, 101));
    w.catalog.retry_failed(&crate::FailedFilter::default(), 9).await.unwrap();
    let claims = w.claim(w.stores[1]).await;
    let freed = w.finish(&claims, &stored()).await;
    assert_eq!(freed.iter().map(|key| key.sealed_hash).collect::<Vec<_>>(), [sealed(1)]);
    assert!(!is_staged(w, blob).await);
    assert_eq!(w.catalog.staged_total().await.unwrap(), (0, 0));
    assert_eq!(w.catalog.copies(blob).await.unwrap().len(), 2);
}

/// A failed store does not hold what enough others have, unless a changeset that shares the blob wants more.
pub async fn freed_at_the_largest_min_copies(w: &World) {
    let one = |dataset| OpenPush { min_copies: Some(1), ..w.spec(dataset) };
    w.push(&one("d"), &[put("x", &[1]), put("y", &[2])]).await;
    w.push(&w.spec("e"), &[put("x", &[2])]).await;
    w.push(&one("f"), &[put("x", &[2])]).await;
    w.push(&one("g"), &[put("x", &[3])]).await;
    let claims = w.claim(w.stores[1]).await;
    let (late, soon) = claims.split_at(1);
    w.finish(soon, &failed()).await;
    let claims = w.claim(w.stores[0]).await;
    let first = blob_of(&late[0]).unwrap().sealed_hash;
    let freed: Vec<_> = w.finish(&claims, &stored()).await.iter().map(|key| key.sealed_hash).collect();
    // Of what one copy suffices for, the one that is still under way elsewhere stays.
    let enough = [sealed(1), sealed(3)];
    assert!(enough.contains(&first), "{first:?}");
    assert_eq!(freed, enough.into_iter().filter(|hash| *hash != first).collect::<Vec<_>>());
}

/// What a push was promised stays until it is entered or the push ends; then it is freed with a later finish.
pub async fn pins_hold_and_let_go(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1, 2])]).await;
    let open = w.open("e").await;
    w.catalog.offer(&open.lease, &[content(1), content(2)]).await.unwrap();
    let claims = [w.claim(w.stores[0]).await, w.claim(w.stores[1]).await].concat();
    assert_eq!(w.finish(&claims, &stored()).await, []);
    w.advance(100 * HOUR).await;
    assert_eq!(w.catalog.free_unneeded(HOUR, 9).await.unwrap(), []);
    assert_eq!(w.catalog.free_early(9).await.unwrap(), []);
    w.enter(&open.lease, 1, &[put("y", &[1])]).await;
    w.commit(&open.lease, 1).await;
    w.fold().await;
    let claims = w.claim(w.stores[0]).await;
    let mut freed: Vec<_> = w.finish(&claims, &stored()).await.iter().map(|key| key.sealed_hash).collect();
    freed.retain(|hash| [sealed(1), sealed(2)].contains(hash));
    freed.sort();
    assert_eq!(freed, [sealed(1), sealed(2)]);
}

/// Sent and never entered.
pub async fn unneeded_after_its_grace(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1]).await;
    w.advance(100 * HOUR).await;
    assert_eq!(w.catalog.free_unneeded(HOUR, 9).await.unwrap(), [], "it is pinned");
    w.catalog.abandon_push(open.lease.changeset, None).await.unwrap();
    w.undo().await;
    assert_eq!(w.catalog.free_unneeded(1_000 * HOUR, 9).await.unwrap(), []);
    let freed = w.catalog.free_unneeded(HOUR, 9).await.unwrap();
    assert_eq!(freed.len(), 1);
    assert_eq!(w.catalog.staged_orphans(&freed).await.unwrap(), freed);
    assert_eq!(w.catalog.free_unneeded(HOUR, 9).await.unwrap(), []);
}

/// Blobs and manifest objects that a row names are none.
pub async fn orphans_are_found(w: &World) {
    let open = w.open("d").await;
    let (blob, lost) = (w.staged(1), w.key(sealed(9)));
    w.catalog.record_staged(&open.lease, &[blob]).await.unwrap();
    w.enter(&open.lease, 1, &[put("x", &[1])]).await;
    let commit = w.commitment(1);
    w.catalog.commit_push(&open.lease, &commit).await.unwrap();
    let keys: Vec<StagedKey> = vec![blob.staged, lost, commit.header.staged, commit.body.staged];
    assert_eq!(w.other.staged_orphans(&keys).await.unwrap(), [lost]);
}

/// Under pressure a pending placement reads from a store that has the blob.
pub async fn early_only_what_a_store_has(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1])]).await;
    assert_eq!(w.catalog.free_early(9).await.unwrap(), []);
    let claims = w.claim(w.stores[0]).await;
    w.finish(&claims, &stored()).await;
    assert_eq!(w.catalog.free_early(9).await.unwrap().len(), 1);
    let target = blob_of(&w.claim(w.stores[1]).await[0]).unwrap();
    assert_eq!(target.staged, None);
    let copies = w.catalog.copies(target.blob).await.unwrap();
    assert_eq!((copies.len(), copies[0].backend), (1, w.stores[0]));
}
