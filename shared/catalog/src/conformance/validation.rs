//! Promises of [`crate::Validation`] about proofs and runs.

use std::collections::BTreeSet;

use n2s_domain::{BackendId, ProofLevel, Timestamp, Version};

use super::World;
use super::world::{HOUR, MINUTE, content, put, remove, sealed, stored};
use crate::{
    DatasetScope, GroupKind, NewGroup, NewValidation, Proof, ProofTarget, ValidationEnd, ValidationRun,
    Vouched,
};

const LEVELS: [ProofLevel; 2] = [ProofLevel::Exists, ProofLevel::Sealed];

pub(super) fn scope(dataset: &str, backend: Option<BackendId>, level: ProofLevel) -> DatasetScope {
    DatasetScope { project: "p".parse().unwrap(), dataset: dataset.parse().unwrap(), backend, level }
}

pub(super) async fn proofs(w: &World, scope: &DatasetScope) -> Vec<Proof> {
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

pub(super) async fn begin(w: &World, backend: BackendId) -> ValidationRun {
    w.catalog.begin_validation(&new_run(backend, Some("d"))).await.unwrap().unwrap()
}

fn blobs(proofs: &[Proof]) -> Vec<Proof> {
    proofs.iter().filter(|proof| matches!(proof.object, Vouched::Blob(_))).copied().collect()
}

/// The copy of the numbered content.
pub(super) async fn copy(w: &World, dataset: &str, backend: BackendId, n: u64) -> Proof {
    let found = proofs(w, &scope(dataset, Some(backend), ProofLevel::Sealed)).await;
    *found.iter().find(|proof| proof.bytes == 100 + n).unwrap()
}

/// Whatever shares a blob, and in whichever version; manifests and their segments, too; open and other datasets' rows not.
pub async fn every_copy_is_paged_once(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2, 3, 4, 7, 8, 9]).await;
    let changes = [
        // So that what shares a blob does not share a page.
        put("0", &[7]),
        put("a", &[1]),
        put("b", &[1]),
        put("c", &[2, 3, 2]),
        put("d", &[3, 4, 2]),
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
            assert_eq!(sizes, [1, 2, 3, 4, 5, 7, 8, 9]);
            assert_eq!(blobs(&found).len(), 8 * stores);
            assert_eq!(found.len() - blobs(&found).len(), 2 * stores, "the manifests of two versions");
        }
    }
    let unknown = w.catalog.dataset_proofs(&scope("nothing", None, ProofLevel::Sealed), None, 2).await;
    assert!(matches!(unknown, Err(crate::CatalogError::Unknown { what: "dataset", .. })));
}

/// However many versions build on it.
pub async fn a_segment_of_many_versions_comes_once(w: &World) {
    const VERSIONS: u64 = 90;
    for version in 1..=VERSIONS {
        let open = w.open("d").await;
        w.send(&open.lease, &[8, 9]).await;
        let segments = vec![content(8 + version % 2)];
        let group = NewGroup { kind: GroupKind::List, since: Version(version - 1), entries: 1, segments };
        w.catalog.record_groups(&open.lease, &[group]).await.unwrap();
        w.commit(&open.lease, 0).await;
    }
    w.work(&w.stores[..1], &stored()).await;
    let found = proofs(w, &scope("d", None, ProofLevel::Sealed)).await;
    let (segments, all) = (blobs(&found).len() as u64, found.len() as u64);
    assert_eq!((segments, all - segments), (2, VERSIONS));
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

/// Before what is older, at every level; a proof ends it.
pub async fn what_is_doubted_is_proven_first(w: &World) {
    let (changeset, _) = w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    w.work(&w.stores[..1], &stored()).await;
    w.advance(HOUR).await;
    let (backend, run) = (w.stores[0], begin(w, w.stores[0]).await);
    let all = oldest(w, backend, run.started_at).await;
    let second = all.iter().find(|proof| proof.bytes == 102).unwrap().object;
    let doubted = [(second, backend), (Vouched::Manifest(changeset), backend), (second, w.stores[1])];
    w.catalog.doubt(&doubted).await.unwrap();
    for level in LEVELS {
        let mut found = proofs(w, &scope("d", Some(backend), level)).await;
        found.sort_unstable();
        assert_eq!([found[0].object, found[1].object], [second, Vouched::Manifest(changeset)]);
    }
    assert_eq!(blobs(&oldest(w, backend, run.started_at).await)[0].object, second);
    assert_eq!(w.catalog.proof_overview(backend).await.unwrap().oldest, None);
    w.catalog.record_proofs(run, ProofLevel::Sealed, &all).await.unwrap();
    assert!(w.catalog.proof_overview(backend).await.unwrap().oldest >= Some(run.started_at));
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
