//! The local store where it may not read or write. Modes do not bind root: as root these tests run themselves once more without
//! the capabilities that set it above them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use n2s_domain::{FailureKind, SealedHash, Timestamp};
use n2s_storage::{Body, Put, Storage as _, StorageError, StorageExt as _, layout};
use n2s_storage_backends::LocalStore;
use tempfile::TempDir;

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

fn mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether modes bind this process; where they do not, runs `test` where they do, and the caller has nothing left to do.
fn bound_by_modes(test: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    mode(dir.path(), 0);
    let bound = std::fs::read_dir(dir.path()).is_err();
    mode(dir.path(), 0o700);
    if bound {
        return true;
    }
    assert!(
        std::env::var_os("N2S_BOUND_BY_MODES").is_none(),
        "setpriv left the capabilities where they were"
    );
    let child = Command::new("setpriv")
        .args(["--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env("N2S_BOUND_BY_MODES", "1")
        .output()
        .expect("setpriv(1) of util-linux runs this test");
    assert!(
        std::env::var_os("N2S_BOUND_BY_MODES").is_none(),
        "setpriv left the capabilities where they were"
    );
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
    false
}

async fn store() -> (LocalStore, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    LocalStore::create_root(&root).unwrap();
    let store = LocalStore::new("disk", root);
    store.put(put(b"there")).await.unwrap();
    (store, dir)
}

fn denied(error: &StorageError, word: &str) {
    assert_eq!(error.kind, FailureKind::Denied, "{}", error.report());
    assert!(error.report().contains(word), "{}", error.report());
}

#[tokio::test]
async fn an_unwritable_root_is_denied_and_keeps_what_it_has() {
    if !bound_by_modes("an_unwritable_root_is_denied_and_keeps_what_it_has") {
        return;
    }
    let (store, dir) = store().await;
    for below in ["", "tmp", "blobs"] {
        mode(&dir.path().join("store").join(below), 0o500);
    }
    for puts in [1, 50u8] {
        let puts = (0..puts).map(|n| put(&[n])).collect();
        for answer in store.store(puts).await {
            denied(&answer.unwrap_err(), "may not write below");
        }
    }
    denied(&store.health().await.unwrap_err(), "may not write below");
    assert_eq!(store.get(put(b"there").key).await.unwrap(), "there");
    for below in ["", "tmp", "blobs"] {
        mode(&dir.path().join("store").join(below), 0o700);
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_denied_and_never_absent() {
    if !bound_by_modes("what_may_not_be_read_is_denied_and_never_absent") {
        return;
    }
    let (store, dir) = store().await;
    let key = put(b"there").key;
    // The root itself, then a directory above it: neither is a disk that is not mounted.
    for closed in [dir.path().join("store"), dir.path().to_owned()] {
        mode(&closed, 0);
        denied(&store.get(key.clone()).await.unwrap_err(), "may not read below");
        denied(&store.check_key_exists(&key).await.unwrap_err(), "may not read below");
        denied(&store.list("blobs").try_collect::<Vec<_>>().await.unwrap_err(), "may not read below");
        denied(&store.put(put(b"new")).await.unwrap_err(), "may not write below");
        denied(&store.delete(std::slice::from_ref(&key)).await.remove(0).unwrap_err(), "may not write below");
        denied(&store.sweep(Timestamp::from_micros(0)).await.unwrap_err(), "may not write below");
        mode(&closed, 0o700);
    }
    assert_eq!(store.get(key).await.unwrap(), "there");
}

#[tokio::test]
async fn a_listing_follows_no_links_and_passes_over_what_is_not_ours() {
    let (store, dir) = store().await;
    let root = dir.path().join("store");
    let foreign = dir.path().join("foreign");
    std::fs::create_dir_all(foreign.join("ab")).unwrap();
    std::fs::write(foreign.join("ab/object"), b"theirs").unwrap();
    symlink(&foreign, root.join("blobs/linked")).unwrap();
    symlink(&root, root.join("blobs/loop")).unwrap();
    symlink(foreign.join("ab/object"), root.join("blobs/object")).unwrap();
    std::fs::create_dir(root.join("lost+found")).unwrap();
    std::fs::write(root.join("lost+found/object"), b"theirs").unwrap();
    std::fs::write(root.join("blobs/a name"), b"theirs").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("blobs/socket")).unwrap();
    for prefix in ["", "blobs"] {
        let listed: Vec<_> = store.list(prefix).map_ok(|listed| listed.key).try_collect().await.unwrap();
        assert_eq!(listed, [put(b"there").key], "of '{prefix}'");
    }
    symlink(&foreign, root.join("keys")).unwrap();
    let error = store.list("keys").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Misconfigured);
    assert!(error.report().contains("symbolic link"), "{}", error.report());
}

#[tokio::test]
async fn an_address_can_be_opened_whatever_the_path_is_made_of() {
    let store = LocalStore::new("disk", "/mnt/my disk#1");
    assert_eq!(store.url(&layout::marker()).unwrap(), "file:///mnt/my%20disk%231/n2s.json");
}
