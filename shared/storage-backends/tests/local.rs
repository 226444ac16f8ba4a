//! The local store: the conformance suite, and what is particular to a disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use n2s_domain::{FailureKind, SealedHash};
use n2s_storage::{Body, Put, Staging, StagingKey, Storage, StorageExt as _, layout};
use n2s_storage_backends::LocalStore;
use tempfile::TempDir;

fn open() -> (Arc<dyn Storage>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Arc::new(LocalStore::new("disk", dir.path())), dir)
}

n2s_storage::conformance_cases!(open);

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    Put {
        key: layout::blob(digest),
        body: Body::Bytes(Bytes::copy_from_slice(content)),
        digest,
        overwrite: false,
    }
}

#[tokio::test]
async fn a_missing_root_is_never_made_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("not-mounted");
    let store = LocalStore::new("disk", &root);
    for error in [
        store.put(put(b"x")).await.unwrap_err(),
        store.get(layout::marker()).await.unwrap_err(),
        store.check_key_exists(&layout::marker()).await.unwrap_err(),
        store.health().await.unwrap_err(),
    ] {
        assert_eq!(error.kind, FailureKind::Misconfigured, "{}", error.report());
        assert!(error.report().contains("mount its disk"), "{}", error.report());
    }
    assert!(!root.exists());
}

#[tokio::test]
async fn staged_bytes_are_linked_into_one_store_and_copied_into_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        LocalStore::create_root(&dir.path().join(name)).unwrap();
        LocalStore::new(name, dir.path().join(name))
    };
    let staging = Staging::new(Arc::new(at("home")));
    let (first, second) = (at("first"), at("second"));
    let digest = put(b"blob").digest;
    let key = StagingKey { sealed_hash: digest, id: 7 };
    staging.put(vec![(key, Bytes::from_static(b"blob"))]).await.remove(0).unwrap();
    for store in [&first, &second] {
        let body = staging.get(&[key]).await.remove(0).unwrap();
        store.put(Put { body, ..put(b"blob") }).await.unwrap();
    }
    let inode = |store: &LocalStore| {
        std::fs::metadata(store.local_path(&layout::blob(digest)).unwrap()).unwrap().ino()
    };
    assert_ne!(inode(&first), inode(&second), "two copies on one inode are one copy");
    staging.delete(&[key]).await.remove(0).unwrap();
    for store in [&first, &second] {
        assert_eq!(store.get(layout::blob(digest)).await.unwrap(), "blob");
    }
    let links = std::fs::metadata(first.local_path(&layout::blob(digest)).unwrap()).unwrap().nlink();
    assert_eq!(links, 1);
}

#[tokio::test]
async fn damaged_staged_bytes_are_found_before_they_go_anywhere() {
    let (store, dir) = open();
    let staging = Staging::new(store);
    let key = StagingKey { sealed_hash: put(b"blob").digest, id: 1 };
    staging.put(vec![(key, Bytes::from_static(b"blob"))]).await.remove(0).unwrap();
    let file = walk(dir.path()).into_iter().find(|path| path.contains("staging/")).unwrap();
    std::fs::write(file, b"bl0b").unwrap();
    assert_eq!(staging.get(&[key]).await.remove(0).unwrap_err().kind, FailureKind::Corrupt);
}

/// And a read-only one takes nothing. Runs itself once more on a file system of 1 MiB. Mounting needs root; a user namespace gives that to anybody.
#[tokio::test]
async fn a_full_disk_fails_what_does_not_fit_and_leaves_nothing_behind() {
    if let Some(root) = std::env::var_os("N2S_FULL_DISK") {
        return on_a_small_disk(Path::new(&root)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "a_full_disk_fails_what_does_not_fit_and_leaves_nothing_behind";
    let script = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$1\" --exact --nocapture \"$2\"";
    let child = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env("N2S_FULL_DISK", dir.path())
        .output()
        .expect("unshare(1) of util-linux runs this test");
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

async fn on_a_small_disk(root: &Path) {
    let store = LocalStore::new("disk", root);
    store.put(put(b"fits")).await.unwrap();
    let error = store.put(put(&vec![1; 2 * 1024 * 1024])).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable);
    assert!(error.report().contains("is full"), "{}", error.report());
    assert_eq!(walk(root).len(), 1, "{:?}", walk(root));
    store.put(put(b"fits, too")).await.unwrap();
    let mount = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(root).status().unwrap();
    assert!(mount.success());
    for error in [store.put(put(b"late")).await.unwrap_err(), store.health().await.unwrap_err()] {
        assert_eq!(error.kind, FailureKind::Denied, "{}", error.report());
        assert!(error.report().contains("read-only"), "{}", error.report());
    }
    assert_eq!(store.get(put(b"fits").key).await.unwrap(), "fits");
}

fn walk(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().map(|path| path.display().to_string());
    dirs.iter().flat_map(|dir| walk(dir)).chain(files).collect()
}
