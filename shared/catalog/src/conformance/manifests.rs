//! Promises of [`crate::Manifests`].

use n2s_domain::{ChangesetStatus, Version};

use super::World;
use super::world::{content, path, put, remove, sealed, stored};
use crate::{CatalogError, GroupKind, NewGroup};

fn group(kind: GroupKind, since: u64, segments: &[u64]) -> NewGroup {
    let segments = segments.iter().map(|n| content(*n)).collect();
    NewGroup { kind, since: Version(since), entries: 3, segments }
}

/// A second call replaces the first; the next push builds on what was committed, base first.
pub async fn groups_are_inherited_and_replaced(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1, 2, 3]).await;
    let refused = w.catalog.record_groups(&open.lease, &[group(GroupKind::List, 0, &[9])]).await;
    assert!(matches!(refused, Err(CatalogError::Unsourced(lost)) if lost == [content(9)]));
    w.catalog.record_groups(&open.lease, &[group(GroupKind::List, 0, &[3])]).await.unwrap();
    let base = [group(GroupKind::List, 0, &[1, 2]), group(GroupKind::Map, 0, &[2])];
    w.catalog.record_groups(&open.lease, &base).await.unwrap();
    w.commit(&open.lease, 0).await;
    let next = w.open("d").await;
    w.send(&next.lease, &[4]).await;
    w.catalog.record_groups(&next.lease, &[group(GroupKind::List, 1, &[4])]).await.unwrap();
    w.commit(&next.lease, 0).await;
    let third = w.open("d").await;
    let groups = w.catalog.manifest_groups(&third.lease).await.unwrap();
    let list: Vec<_> = groups.iter().filter(|group| group.kind == GroupKind::List).collect();
    let ends: Vec<_> = list.iter().map(|group| (group.since.0, group.through.0)).collect();
    assert_eq!((ends, groups.len()), (vec![(0, 1), (1, 2)], 3));
    let segments: Vec<_> = list[0].segments.iter().map(|segment| segment.sealed_hash).collect();
    assert_eq!(segments, [sealed(1), sealed(2)]);
}

/// By path and by hash, page by page.
pub async fn changes_and_blobs_are_read_back(w: &World) {
    w.push(&w.spec("d"), &[put("a", &[1]), put("b", &[2]), put("c", &[3])]).await;
    let open = w.open("d").await;
    w.send(&open.lease, &[4]).await;
    let changes = [put("a", &[4, 1]), remove("b"), put("d", &[])];
    w.enter(&open.lease, 1, &changes).await;
    let counts = w.catalog.version_counts(&open.lease).await.unwrap();
    assert_eq!((counts.files, counts.bytes, counts.changed), (3, 30, 3));
    let read = async |since, after: Option<&str>| {
        let after = after.map(path);
        w.catalog.manifest_changes(&open.lease, Version(since), after.as_ref(), 2).await.unwrap()
    };
    assert_eq!(read(1, None).await, changes[..2]);
    assert_eq!(read(1, Some("b")).await, changes[2..]);
    assert_eq!(read(0, None).await, [changes[0].clone(), put("c", &[3])]);
    let blobs = async |since, after, limit| {
        let blobs = w.catalog.manifest_blobs(&open.lease, Version(since), after, limit).await.unwrap();
        blobs.iter().map(|blob| blob.content_hash).collect::<Vec<_>>()
    };
    assert_eq!(blobs(1, None, 9).await, [content(1), content(4)]);
    assert_eq!(blobs(1, Some(content(1)), 9).await, [content(4)]);
}

/// Segments are blobs like any other: a header goes to a store after them.
pub async fn segments_are_waited_for(w: &World) {
    let open = w.open("d").await;
    w.send(&open.lease, &[1]).await;
    w.catalog.record_groups(&open.lease, &[group(GroupKind::List, 0, &[1])]).await.unwrap();
    w.commit(&open.lease, 0).await;
    w.fold().await;
    let claims = w.claim(w.stores[0]).await;
    assert!(claims.len() == 1 && super::world::blob_of(&claims[0]).is_some(), "the header goes first");
    w.finish(&claims, &stored()).await;
    let settled = w.work(&w.stores, &stored()).await;
    assert_eq!((settled.len(), settled[0].status), (1, ChangesetStatus::Completed));
}
