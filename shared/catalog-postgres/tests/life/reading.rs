//! Trees, manifests, searches, syncs and staging, with the names that an index cannot hold.

use std::time::Duration;

use n2s_catalog::{
    Audit as _, Backends as _, ChangesetFilter, GroupKind, Library as _, Manifests as _, NewGroup, Page,
    Pushes as _, Selector, StagingBook as _, Syncing as _, TakeOver,
};
use n2s_domain::{BackendId, ChangesetStatus, Content, EntryChange, FileEntry, PathSpan, RelPath, Version};

use crate::world::{World, dataset, hash, project, put};

/// In byte order: names that agree in more than an index entry holds, that are no UTF-8, and a directory's neighbours.
fn names() -> Vec<Vec<u8>> {
    let long = "d/".repeat(150);
    let mut names: Vec<Vec<u8>> =
        ["A", "a", "a-b", "a/b", "a/b/c", "a0", "Übung"].map(|name| name.as_bytes().to_vec()).into();
    names.extend((0..5).map(|n| format!("{long}{}{n}", "x".repeat(200)).into_bytes()));
    names.push(format!("{}y", "z/".repeat(2_500)).into_bytes());
    names.push(b"n\xff\xfe".to_vec());
    names.sort();
    names
}

fn entry(path: &[u8]) -> EntryChange {
    let EntryChange::Put(like) = put("content") else { unreachable!() };
    let content = if path == b"a" || path == b"a/b" { Content::Directory } else { like.content.clone() };
    EntryChange::Put(FileEntry { path: RelPath::new(path).unwrap(), content, ..like })
}

/// An open push of all the names, and the root.
async fn opened(world: &World) -> n2s_catalog::OpenedPush {
    let open = world.open("a", TakeOver::IfLapsed).await.unwrap();
    world.enter(&open.lease, 1, &["content"]).await;
    let mut changes: Vec<EntryChange> = names().iter().map(|name| entry(name)).collect();
    changes.push(EntryChange::Remove(RelPath::new("content").unwrap()));
    world.catalog.record_entries(&open.lease, 2, &changes).await.unwrap();
    open
}

#[tokio::test]
async fn trees_are_read_in_byte_order_page_by_page() {
    let world = World::new(1).await;
    let open = opened(&world).await;
    let version =
        world.catalog.version(&project(), &dataset(), &Selector::Open(open.lease.changeset)).await.unwrap();
    for limit in [1, 3, 100] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = Page { after: after.take(), limit };
            let rows = world.catalog.entries(&version, &PathSpan::Everything, &page).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some(last.path.clone());
            read.extend(rows.into_iter().map(|row| row.path.as_bytes().to_vec()));
        }
        assert_eq!(read, names(), "in pages of {limit}");
    }
    let below = PathSpan::Below(RelPath::new("a").unwrap());
    let page = Page { after: None, limit: 10 };
    let rows = world.catalog.tree(&version, &below, &page).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.entry.path.to_string()).collect::<Vec<_>>(), ["a/b", "a/b/c"]);
    let directories =
        world.catalog.directories_last_first(&version, &PathSpan::Everything, &page).await.unwrap();
    assert_eq!(directories.iter().map(|row| row.path.to_string()).collect::<Vec<_>>(), ["a/b", "a"]);
}

#[tokio::test]
async fn manifests_are_made_of_what_was_recorded() {
    let world = World::new(1).await;
    let open = opened(&world).await;
    let lease = open.lease;
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let changes = world.catalog.manifest_changes(&lease, Version(0), after.as_ref(), 4).await.unwrap();
        let Some(last) = changes.last() else { break };
        after = Some(last.path().clone());
        read.extend(changes.iter().map(|change| change.path().as_bytes().to_vec()));
    }
    assert_eq!(read, names());
    let counts = world.catalog.version_counts(&lease).await.unwrap();
    assert_eq!((counts.files, counts.removed), (names().len() as u64, 0));
    let blobs = world.catalog.manifest_blobs(&lease, Version(0), None, 10).await.unwrap();
    assert_eq!(blobs.iter().map(|blob| blob.content_hash).collect::<Vec<_>>(), [hash("content")]);
    let group = |kind, segments| NewGroup { kind, since: Version(0), entries: 9, segments };
    let groups =
        [group(GroupKind::List, vec![hash("content")]), group(GroupKind::Map, vec![hash("content"); 2])];
    for _ in 0..2 {
        world.catalog.record_groups(&lease, &groups).await.unwrap();
    }
    world.commit(&lease, 2).await;
    world.work().await;
    let next = world.open("b", TakeOver::IfLapsed).await.unwrap();
    let chain = world.catalog.manifest_groups(&next.lease).await.unwrap();
    assert_eq!(chain.iter().map(|group| group.segments.len()).collect::<Vec<_>>(), [1, 2]);
    let removal = [EntryChange::Remove(RelPath::new("a0").unwrap()), entry(b"a-b")];
    world.catalog.record_entries(&next.lease, 1, &removal).await.unwrap();
    let changes = world.catalog.manifest_changes(&next.lease, Version(1), None, 100).await.unwrap();
    assert!(matches!(&changes[..], [EntryChange::Put(_), EntryChange::Remove(_)]), "{changes:?}");
    let counts = world.catalog.version_counts(&next.lease).await.unwrap();
    assert_eq!((counts.changed, counts.removed), (2, 1));
    assert!(world.catalog.replaced_sealings(&next.lease).await.unwrap().is_empty());
}

#[tokio::test]
async fn searches_fold_case_and_read_any_name() {
    let world = World::new(1).await;
    let open = opened(&world).await;
    world.commit(&open.lease, 2).await;
    let found = async |text: &str| {
        let page = Page { after: None, limit: 10 };
        let hits = world.catalog.search(&ChangesetFilter::default(), text, &page).await.unwrap();
        hits.iter().map(|hit| hit.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found("ÜBUNG").await, ["Übung"]);
    assert_eq!(found("U\u{308}bung").await, ["Übung"]);
    assert_eq!(found("%").await, [""; 0]);
    assert_eq!(found("b/C").await, ["a/b/c"]);
}

#[tokio::test]
async fn a_store_added_later_gets_the_head() {
    let world = World::new(1).await;
    let pushed = world.push("a", &["one", "two", "three"]).await;
    world.work().await;
    let later: n2s_domain::BackendName = "later".parse().unwrap();
    let added = world.catalog.ensure_backends(&[(later.clone(), "local".to_owned())]).await.unwrap();
    assert_eq!(added[0].id, BackendId(2));
    let changeset = world.catalog.begin_sync(&project(), &dataset(), &later).await.unwrap().unwrap();
    assert_eq!(changeset, pushed.changeset);
    let mut from = Some(0);
    while let Some(at) = from {
        from = world.catalog.sync_step(changeset, &later, at, 2).await.unwrap().next;
        world.work().await;
    }
    assert_eq!(world.catalog.changeset(changeset).await.unwrap().status, ChangesetStatus::Pushing);
    world.catalog.end_sync(changeset, &later).await.unwrap();
    world.work().await;
    let record = world.catalog.changeset(changeset).await.unwrap();
    assert_eq!((record.status, record.stores.len()), (ChangesetStatus::Completed, 2));
    assert_eq!(world.catalog.begin_sync(&project(), &dataset(), &later).await.unwrap(), None);
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}

#[tokio::test]
async fn staging_is_freed_of_what_nothing_needs() {
    let world = World::new(2).await;
    let open = world.open("a", TakeOver::IfLapsed).await.unwrap();
    world.stage(&open.lease, &["needed", "unneeded"]).await;
    world.catalog.record_entries(&open.lease, 1, &[put("needed")]).await.unwrap();
    world.advance(Duration::from_hours(48));
    let grace = Duration::from_hours(24);
    assert_eq!(world.catalog.free_unneeded(grace, 10).await.unwrap(), [], "pinned, and on its way");
    world.commit(&open.lease, 1).await;
    let freed = world.catalog.free_unneeded(grace, 10).await.unwrap();
    assert_eq!(freed.iter().map(|key| key.sealed_hash.0).collect::<Vec<_>>(), [hash("unneeded").0]);
    assert_eq!(world.catalog.staged_orphans(&freed).await.unwrap(), freed);
    let claims = world.claim_all(BackendId(1)).await;
    assert_eq!(world.catalog.free_early(10).await.unwrap(), []);
    n2s_catalog::Jobs::finish(&world.catalog, &[crate::world::finish(&claims[0], crate::world::stored())])
        .await
        .unwrap();
    assert_eq!(world.catalog.free_early(10).await.unwrap().len(), 1);
    world.work().await;
    assert_eq!(world.catalog.audit().await.unwrap(), []);
}
