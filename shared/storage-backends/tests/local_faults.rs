//! The local store when things go wrong around it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use n2s_domain::{Clock as _, FailureKind, SealedHash, SystemClock};
use n2s_storage::{Body, Put, Staging, StagingKey, Storage as _, StorageExt as _, Verified, layout};
use n2s_storage_backends::LocalStore;

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

/// Leaves what a killed process with our number would have left: in a container that number is the same every time.
fn leave_temps(root: &Path) {
    std::fs::create_dir_all(root.join("tmp/0")).unwrap();
    for number in 0..2_000 {
        let name = format!("{}-{number}", std::process::id());
        std::fs::write(root.join("tmp/0").join(name), b"torn").unwrap();
    }
}

fn temps(root: &Path) -> usize {
    let dirs = std::fs::read_dir(root.join("tmp")).unwrap().map(|dir| dir.unwrap().path());
    dirs.map(|dir| std::fs::read_dir(dir).unwrap().count()).sum()
}

#[tokio::test]
async fn temporaries_of_a_killed_process_are_neither_used_nor_in_the_way_and_can_be_swept() {
    let dir = tempfile::tempdir().unwrap();
    leave_temps(dir.path());
    let store = LocalStore::new("disk", dir.path());
    store.put(put(b"x")).await.unwrap();
    assert_eq!(store.get(put(b"x").key).await.unwrap(), "x");
    let now = SystemClock.now();
    let earlier = n2s_domain::Timestamp::from_micros(now.as_micros() - 3_600_000_000);
    assert_eq!(store.sweep_temps(earlier).await.unwrap(), 0, "it swept what may still be written");
    // As the sweeper has it: as staging, behind what wraps it.
    let staging = Staging::new(Arc::new(Verified(Arc::new(store.clone()))));
    assert_eq!(staging.sweep(now.after(Duration::from_mins(1))).await.unwrap(), 2_000);
    assert_eq!(temps(dir.path()), 0);
    assert_eq!(store.get(put(b"x").key).await.unwrap(), "x");
}

#[tokio::test]
async fn two_contents_of_one_name_are_never_both_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new("disk", dir.path());
    let key = put(b"name").key;
    let puts: Vec<Put> = (0..32u8).map(|n| Put { key: key.clone(), ..put(&[n; 100]) }).collect();
    let answers = store.store(puts.clone()).await;
    let winners: Vec<&Put> =
        puts.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(put, _)| put).collect();
    assert_eq!(winners.len(), 1, "acknowledged bytes were replaced");
    assert_eq!(&store.get(key).await.unwrap(), winners[0].body.bytes());
    let kinds = answers.iter().filter_map(|answer| answer.as_ref().err()).map(|error| error.kind);
    assert!(kinds.into_iter().all(|kind| kind == FailureKind::Corrupt));
    assert_eq!(temps(dir.path()), 0);
}

#[tokio::test]
async fn staged_bytes_are_linked_into_a_store_that_has_never_been_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        LocalStore::create_root(&dir.path().join(name)).unwrap();
        LocalStore::new(name, dir.path().join(name))
    };
    let (home, first) = (at("home"), at("first"));
    let staging = Staging::new(Arc::new(home));
    let key = StagingKey { sealed_hash: put(b"blob").digest, id: 7 };
    staging.put(vec![(key, Bytes::from_static(b"blob"))]).await.remove(0).unwrap();
    let body = staging.get(&[key]).await.remove(0).unwrap();
    let Body::File { path, .. } = body.clone() else { panic!("staging on a disk offers no file") };
    first.put(Put { body, ..put(b"blob") }).await.unwrap();
    let stored = std::fs::metadata(first.local_path(&put(b"blob").key).unwrap()).unwrap();
    assert_eq!(stored.ino(), std::fs::metadata(path).unwrap().ino(), "it was copied");
    assert_eq!(stored.nlink(), 2);
}

#[tokio::test]
async fn an_empty_prefix_lists_everything_but_temporaries() {
    let dir = tempfile::tempdir().unwrap();
    leave_temps(dir.path());
    let store = LocalStore::new("disk", dir.path());
    store.put(put(b"x")).await.unwrap();
    store.put(Put { key: layout::marker(), ..put(b"marker") }).await.unwrap();
    let mut keys: Vec<String> =
        store.list("").map_ok(|listed| listed.key.to_string()).try_collect().await.unwrap();
    keys.sort();
    assert_eq!(keys, [put(b"x").key.to_string(), "n2s.json".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn stores_that_take_the_same_staged_bytes_at_once_never_share_a_file() {
    const STORES: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: String| {
        LocalStore::create_root(&dir.path().join(&name)).unwrap();
        LocalStore::new(&name, dir.path().join(&name))
    };
    let staging = Staging::new(Arc::new(at("home".to_owned())));
    let stores: Vec<LocalStore> = (0..STORES).map(|n| at(n.to_string())).collect();
    for round in 0..100i64 {
        let blob = put(&round.to_le_bytes());
        let key = StagingKey { sealed_hash: blob.digest, id: 1 };
        staging.put(vec![(key, blob.body.bytes().clone())]).await.remove(0).unwrap();
        let body = staging.get(&[key]).await.remove(0).unwrap();
        let start = Arc::new(tokio::sync::Barrier::new(STORES));
        let puts = stores.iter().cloned().map(|store| {
            let (start, put) = (Arc::clone(&start), Put { body: body.clone(), ..blob.clone() });
            tokio::spawn(async move {
                start.wait().await;
                store.put(put).await
            })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
        let inode =
            |store: &LocalStore| std::fs::metadata(store.local_path(&blob.key).unwrap()).unwrap().ino();
        let inodes: std::collections::BTreeSet<u64> = stores.iter().map(inode).collect();
        assert_eq!(inodes.len(), STORES, "two copies on one inode are one copy");
    }
}
