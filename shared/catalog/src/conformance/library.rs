//! Promises of [`crate::Library`].

use std::collections::BTreeMap;

use n2s_domain::{DatasetName, PathSpan, ProjectName, RelPath, Version};

use super::world::{entry, path, put, remove};
use super::{Rng, World};
use crate::library::FileBlob;
use crate::{BlobOwner, CatalogError, ChangesetFilter, OpenPush, Page, Selector};

fn names() -> (ProjectName, DatasetName) {
    ("p".parse().unwrap(), "d".parse().unwrap())
}

/// What is added, changed, removed and added again is in each version as it was then, in every version ever after.
pub async fn versions_equal_a_naive_model(w: &World) {
    const SEED: u64 = 0x7665_7273;
    let mut rng = Rng(SEED);
    let mut versions: Vec<(Version, BTreeMap<RelPath, Vec<u64>>)> = Vec::new();
    for _ in 0..14 {
        let mut tree = versions.last().map(|(_, tree)| tree.clone()).unwrap_or_default();
        let open = w.open("d").await;
        w.send(&open.lease, &[1, 2, 3, 4]).await;
        let abandoned = rng.below(4) == 0;
        for batch in 0..3 {
            let mut changes = BTreeMap::new();
            for _ in 0..4 {
                let at = format!("f{}", rng.below(8));
                let contents: Vec<u64> = (0..rng.below(4)).map(|_| 1 + rng.below(4)).collect();
                let change = if rng.below(3) == 0 { remove(&at) } else { put(&at, &contents) };
                changes.insert(path(&at), (change, contents));
            }
            let list: Vec<_> = changes.values().map(|(change, _)| change.clone()).collect();
            w.enter(&open.lease, 1 + batch, &list).await;
            for (at, (change, contents)) in changes {
                match change {
                    n2s_domain::EntryChange::Put(_) => tree.insert(at, contents),
                    n2s_domain::EntryChange::Remove(_) => tree.remove(&at),
                };
            }
        }
        same_tree(w, &Selector::Open(open.lease.changeset), &tree).await;
        if abandoned {
            w.catalog.abandon_push(open.lease.changeset, None).await.unwrap();
            w.undo().await;
        } else {
            w.commit(&open.lease, 3).await;
            versions.push((open.version, tree));
        }
        for (version, tree) in &versions {
            same_tree(w, &Selector::Version(*version), tree).await;
        }
    }
}

async fn same_tree(w: &World, selector: &Selector, tree: &BTreeMap<RelPath, Vec<u64>>) {
    let rows = w.rows("d", selector.clone()).await;
    let found: Vec<_> = rows.iter().map(|row| row.entry.clone()).collect();
    let expected: Vec<_> = tree.iter().map(|(at, contents)| entry(&at.to_text(), contents)).collect();
    assert_eq!(found, expected, "{selector:?}");
    for row in &rows {
        let (blobs, chunks) = (row.blobs.iter().map(|b| b.content_hash), row.entry.chunks().iter());
        assert!(blobs.eq(chunks.map(|chunk| chunk.hash)));
    }
}

/// An unknown name is answered with `Unknown`; an open push is nobody's version.
pub async fn selectors_find_versions(w: &World) {
    let (project, dataset) = names();
    let labelled = |label: &str| OpenPush { snapshot: Some(label.into()), ..w.spec("d") };
    let (first, _) = w.push(&labelled("s"), &[put("x", &[1])]).await;
    let (second, _) = w.push(&labelled("s"), &[put("y", &[2, 3])]).await;
    let open = w.open("d").await;
    let find = async |selector| w.catalog.version(&project, &dataset, &selector).await;
    for (selector, expected) in [
        (Selector::Latest, second),
        (Selector::Version(Version(1)), first),
        (Selector::Snapshot("s".into()), second),
        (Selector::Changeset(first), first),
        (Selector::Open(open.lease.changeset), open.lease.changeset),
    ] {
        assert_eq!(find(selector).await.unwrap().changeset, expected);
    }
    let head = find(Selector::Latest).await.unwrap();
    assert_eq!((head.file_count, head.total_size), (2, 30));
    for selector in [
        Selector::Version(Version(3)),
        Selector::Snapshot("t".into()),
        Selector::Changeset(open.lease.changeset),
    ] {
        assert!(matches!(find(selector).await, Err(CatalogError::Unknown { .. })));
    }
    let elsewhere = w.catalog.version(&"q".parse().unwrap(), &dataset, &Selector::Latest).await;
    assert!(matches!(elsewhere, Err(CatalogError::Unknown { what: "project", .. })));
}

/// In path order, nothing twice, nothing left out; `tree` and `entries` agree.
pub async fn pages_join_up(w: &World) {
    let (project, dataset) = names();
    let at: Vec<_> =
        (0..9).map(|i| format!("a/{i}")).chain(["a.b".into(), "a0".into(), "b".into()]).collect();
    w.push(&w.spec("d"), &at.iter().map(|at| put(at, &[1])).collect::<Vec<_>>()).await;
    let version = w.catalog.version(&project, &dataset, &Selector::Latest).await.unwrap();
    for (within, count) in
        [(PathSpan::Everything, 12), (PathSpan::Below(path("a")), 9), (PathSpan::At(path("b")), 1)]
    {
        let mut seen: Vec<RelPath> = Vec::new();
        loop {
            let page = Page { after: seen.last().cloned(), limit: 4 };
            let rows = w.catalog.tree(&version, &within, &page).await.unwrap();
            let entries = w.catalog.entries(&version, &within, &page).await.unwrap();
            assert!(rows.iter().map(|row| &row.entry).eq(&entries));
            if rows.is_empty() {
                break;
            }
            seen.extend(entries.into_iter().map(|entry| entry.path));
        }
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
    }
}

/// Head versions only.
pub async fn searches_ignore_case_and_form(w: &World) {
    let found = async |text: &str| {
        let page = Page { after: None, limit: 9 };
        w.catalog.search(&ChangesetFilter::default(), text, &page).await.unwrap().len()
    };
    w.push(&w.spec("d"), &[put("Caf\u{e9}.TXT", &[1]), put("cafe\u{301}2.txt", &[2]), put("gone", &[1])])
        .await;
    w.push(&w.spec("d"), &[remove("gone")]).await;
    let open = w.open("d").await;
    w.enter(&open.lease, 1, &[put("unseen", &[])]).await;
    for (text, count) in
        [("caf\u{e9}", 2), ("CAFE\u{301}", 2), ("txt", 2), ("gone", 0), ("unseen", 0), ("%", 0), ("_", 0)]
    {
        assert_eq!(found(text).await, count, "{text}");
    }
}

/// In the order asked for; what is not there is nobody's.
pub async fn blobs_know_their_project(w: &World) {
    w.push(&w.spec("d"), &[put("x", &[1]), put("y", &[2])]).await;
    let mut ids = Vec::new();
    for row in w.rows("d", Selector::Latest).await {
        let owner = |blob: &FileBlob| BlobOwner {
            project: names().0,
            sealed_hash: blob.sealed_hash,
            encrypted_size: blob.encrypted_size,
        };
        ids.extend(row.blobs.iter().map(|blob| (blob.id, Some(owner(blob)))));
    }
    assert_eq!(ids.len(), 2);
    ids.reverse();
    ids.insert(1, (n2s_domain::BlobId(i64::MAX), None));
    let asked: Vec<_> = ids.iter().map(|(id, _)| *id).collect();
    let owners: Vec<_> = ids.into_iter().map(|(_, owner)| owner).collect();
    assert_eq!(w.other.blob_owners(&asked).await.unwrap(), owners);
}
