//! Linking from staging fails, or succeeds for two stores at once.

use std::path::Path;
use std::sync::Arc;

use n2s_storage::{Body, Put, Staging, StagingKey, Storage as _, StorageExt as _};
use rustix::io::Errno;

use super::{Fault, Step, all_there, open, put};
use crate::LocalStore;

#[tokio::test]
async fn a_link_that_fails_is_written_instead() {
    let (store, disk, dir) = open();
    let home = dir.path().join("home");
    LocalStore::create_root(&home).unwrap();
    let staging = Staging::new(Arc::new(LocalStore::new("staging", home)));
    let blob = put(b"blob");
    let key = StagingKey { sealed_hash: blob.digest, id: 1 };
    staging.put(vec![(key, blob.body.bytes().clone())]).await.remove(0).unwrap();
    let body = staging.get(&[key]).await.remove(0).unwrap();
    for errno in [Errno::XDEV, Errno::PERM, Errno::MLINK] {
        disk.script(move |step, _| (step == Step::Link).then_some(Fault::Error(errno)));
        store.put(Put { body: body.clone(), ..blob.clone() }).await.unwrap();
        all_there(&store, std::slice::from_ref(&blob)).await;
        store.delete(std::slice::from_ref(&blob.key)).await.remove(0).unwrap();
    }
}

#[tokio::test]
async fn a_link_shared_with_another_store_is_replaced_when_the_put_is_tried_again() {
    use std::os::unix::fs::MetadataExt as _;
    let (store, disk, dir) = open();
    let home = dir.path().join("home");
    LocalStore::create_root(&home).unwrap();
    let staging = Staging::new(Arc::new(LocalStore::new("staging", home)));
    let blob = put(b"blob");
    let key = StagingKey { sealed_hash: blob.digest, id: 1 };
    staging.put(vec![(key, blob.body.bytes().clone())]).await.remove(0).unwrap();
    let body = staging.get(&[key]).await.remove(0).unwrap();
    let Body::File { path, .. } = body.clone() else { panic!("staging on a disk offers no file") };
    // Another store links the same file at the same moment, and then this one cannot write.
    let other = dir.path().join("other");
    disk.script({
        let (path, other) = (path.clone(), other.clone());
        move |step, _| {
            if step == Step::Link {
                std::fs::hard_link(&path, &other).unwrap();
            }
            (step == Step::Create).then_some(Fault::Error(Errno::NOSPC))
        }
    });
    store.put(Put { body: body.clone(), ..blob.clone() }).await.unwrap_err();
    disk.script(|_, _| None);
    store.put(Put { body, ..blob.clone() }).await.unwrap();
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let stored = store.local_path(&blob.key).unwrap();
    assert_ne!(inode(&stored), inode(&other), "two copies on one inode are one copy");
    all_there(&store, &[blob]).await;
}
