//! Two handles at once: another process is never waited for, only reckoned with.

use std::collections::BTreeSet;

use n2s_domain::ChangesetStatus;

use super::World;
use super::world::{content, put, sealed, stored, terms};
use crate::{CatalogError, Finish, Offered, OpenPush};

const ROUNDS: u64 = 15;

/// A dataset of its own for each round.
fn spec(w: &World, round: u64) -> OpenPush {
    OpenPush { dataset: format!("d{round}").parse().unwrap(), ..w.spec("d") }
}

/// Each job once, whichever handle gets it.
pub async fn tickets_are_claimed_once(w: &World) {
    for round in 0..ROUNDS {
        let files: Vec<_> = (0..20).map(|i| put(&format!("f{i}"), &[round * 100 + i])).collect();
        w.push(&spec(w, round), &files).await;
        let tickets = w.dispatch(w.stores[0]).await;
        let claim = |catalog: std::sync::Arc<dyn crate::Catalog>| {
            let (store, tickets) = (w.stores[0], tickets.clone());
            tokio::spawn(async move { catalog.claim(store, &tickets, &terms()).await.unwrap() })
        };
        let (one, two) = (claim(w.catalog.clone()), claim(w.other.clone()));
        let claims = [one.await.unwrap(), two.await.unwrap()].concat();
        let jobs: BTreeSet<_> = claims.iter().map(|claim| claim.claim.job.0).collect();
        assert_eq!((claims.len(), jobs.len()), (20, 20));
        w.finish(&claims, &stored()).await;
    }
}

/// One of two equal outcomes counts.
pub async fn outcomes_are_accepted_once(w: &World) {
    for round in 0..ROUNDS {
        let files: Vec<_> = (0..10).map(|i| put(&format!("f{i}"), &[round * 100 + i])).collect();
        w.push(&spec(w, round), &files).await;
        let claims = w.claim(w.stores[0]).await;
        let finish = |catalog: std::sync::Arc<dyn crate::Catalog>| {
            let claims = claims.clone();
            let outcomes: Vec<_> =
                claims.iter().map(|c| Finish { claim: c.claim, outcome: stored() }).collect();
            tokio::spawn(async move { catalog.finish(&outcomes).await.unwrap().accepted })
        };
        let (one, two) = (finish(w.catalog.clone()), finish(w.other.clone()));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert!(one.iter().zip(&two).all(|(one, two)| one != two), "{one:?} {two:?}");
    }
}

/// The other is told who holds it.
pub async fn one_dataset_is_opened_once(w: &World) {
    for round in 0..ROUNDS {
        let open = |catalog: std::sync::Arc<dyn crate::Catalog>| {
            let spec = spec(w, round);
            tokio::spawn(async move { catalog.open_push(&spec).await })
        };
        let (one, two) = (open(w.catalog.clone()), open(w.other.clone()));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        let (won, refused) = match (one, two) {
            (Ok(won), Err(refused)) | (Err(refused), Ok(won)) => (won, refused),
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused, CatalogError::Held(held) if held.changeset == won.lease.changeset));
    }
}

/// Entries that reference a blob while its placement finishes either wait for it or find it done.
pub async fn no_waiter_is_lost(w: &World) {
    for round in 0..ROUNDS {
        let numbers: Vec<u64> = (0..8).map(|i| round * 100 + i).collect();
        w.push(&spec(w, round), &[put("x", &numbers)]).await;
        let open = w.catalog.open_push(&spec(w, 1_000 + round)).await.unwrap();
        let contents: Vec<_> = numbers.iter().map(|n| content(*n)).collect();
        w.catalog.offer(&open.lease, &contents).await.unwrap();
        let claims = [w.claim(w.stores[0]).await, w.claim(w.stores[1]).await].concat();
        let outcomes: Vec<_> = claims.iter().map(|c| Finish { claim: c.claim, outcome: stored() }).collect();
        let (one, two, lease) = (w.catalog.clone(), w.other.clone(), open.lease);
        let finish = tokio::spawn(async move {
            for outcome in outcomes.chunks(3) {
                one.finish(outcome).await.unwrap();
            }
        });
        let enter = tokio::spawn(async move {
            for (batch, number) in numbers.iter().rev().enumerate() {
                let change = [put(&format!("y{number}"), &[*number])];
                two.record_entries(&lease, 1 + batch as u64, &change).await.unwrap();
            }
        });
        finish.await.unwrap();
        enter.await.unwrap();
        w.commit(&open.lease, 8).await;
        let settled = w.work(&w.stores, &stored()).await;
        let done = |status| settled.iter().filter(|settled| settled.status == status).count();
        assert_eq!((settled.len(), done(ChangesetStatus::Completed)), (2, 2), "round {round}");
        w.audit().await;
    }
}

/// Two folders report each changeset once.
pub async fn folds_settle_once(w: &World) {
    for round in 0..ROUNDS {
        for part in 0..4 {
            w.push(&spec(w, round * 10 + part), &[put("x", &[round * 100 + part])]).await;
        }
        for store in &w.stores {
            let claims = w.claim(*store).await;
            w.finish(&claims, &stored()).await;
        }
        w.fold().await;
        for store in &w.stores {
            let claims = w.claim(*store).await;
            w.finish(&claims, &stored()).await;
        }
        let fold = |catalog: std::sync::Arc<dyn crate::Catalog>| {
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let (settled, more) = catalog.fold(2).await.unwrap();
                    all.extend(settled);
                    if !more {
                        return all;
                    }
                }
            })
        };
        let (one, two) = (fold(w.catalog.clone()), fold(w.other.clone()));
        let settled = [one.await.unwrap(), two.await.unwrap()].concat();
        let each: BTreeSet<_> = settled.iter().map(|settled| settled.changeset).collect();
        assert_eq!((settled.len(), each.len()), (4, 4), "round {round}");
    }
}

/// Two pushes that send one content are told the same sealing, and one object is kept.
pub async fn the_first_sealing_wins(w: &World) {
    for round in 0..ROUNDS {
        let send = |catalog: std::sync::Arc<dyn crate::Catalog>, part: u64| {
            let spec = spec(w, round * 10 + part);
            let mut blob = w.staged(round);
            blob.staged.sealed_hash = sealed(10_000 + round * 10 + part);
            tokio::spawn(async move {
                let lease = catalog.open_push(&spec).await.unwrap().lease;
                catalog.record_staged(&lease, &[blob]).await.unwrap()[0]
            })
        };
        let (one, two) = (send(w.catalog.clone(), 1), send(w.other.clone(), 2));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!(one.sealed_hash, two.sealed_hash);
        assert_ne!(one.keep_staged, two.keep_staged);
    }
}

/// Either the pin comes first and the object stays, or the object goes and nobody is promised it.
pub async fn nothing_pinned_is_freed(w: &World) {
    for round in 0..ROUNDS {
        w.push(&spec(w, round), &[put("x", &[round])]).await;
        let open = w.catalog.open_push(&spec(w, 1_000 + round)).await.unwrap();
        let claims = [w.claim(w.stores[0]).await, w.claim(w.stores[1]).await].concat();
        let outcomes: Vec<_> = claims.iter().map(|c| Finish { claim: c.claim, outcome: stored() }).collect();
        let blob = super::world::blob_of(&claims[0]).unwrap().blob;
        let (one, two, lease) = (w.catalog.clone(), w.other.clone(), open.lease);
        let finish = tokio::spawn(async move { one.finish(&outcomes).await.unwrap().freed });
        let offer = tokio::spawn(async move { two.offer(&lease, &[content(round)]).await.unwrap() });
        let (freed, offered) = (finish.await.unwrap(), offer.await.unwrap());
        // Completed on both stores, the content has a source either way.
        assert_eq!(offered, [Offered::Held(sealed(round))]);
        assert_eq!(w.catalog.staged(blob).await.unwrap().is_none(), !freed.is_empty());
        w.enter(&open.lease, 1, &[put("y", &[round])]).await;
        w.commit(&open.lease, 1).await;
        w.work(&w.stores, &stored()).await;
    }
}
