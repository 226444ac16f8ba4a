//! What wraps a store, around one that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use n2s_domain::{FailureKind, SealedHash};
use n2s_storage::testing::{Fault, Faulty};
use n2s_storage::{Body, Get, Put, Storage, StorageExt as _, TimedOut, Verified, layout};
use n2s_storage_backends::LocalStore;
use tempfile::TempDir;

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

async fn faulty() -> (Arc<Faulty>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Arc::new(Faulty::new(Arc::new(LocalStore::new("disk", dir.path()))));
    faulty.put(put(b"0123456789")).await.unwrap();
    (faulty, dir)
}

#[tokio::test]
async fn a_store_that_lies_or_stops_early_is_not_believed() {
    let (faulty, _dir) = faulty().await;
    let verified = Verified(Arc::clone(&faulty) as Arc<dyn Storage>);
    let key = put(b"0123456789").key;
    assert_eq!(verified.get(key.clone()).await.unwrap(), "0123456789");
    for fault in [Fault::Lies, Fault::StopsEarly] {
        faulty.script(move |op, _| (op == "retrieve").then_some(fault));
        assert_eq!(verified.get(key.clone()).await.unwrap_err().kind, FailureKind::Corrupt, "{fault:?}");
    }
    // A part has no digest of its own: whoever reads parts checks what he makes of them.
    let part = Get { key, range: Some(0..4) };
    assert!(verified.retrieve(vec![part]).await.remove(0).is_ok());
}

#[tokio::test]
async fn a_store_that_hangs_is_unavailable_in_every_operation() {
    let (faulty, _dir) = faulty().await;
    let timed = TimedOut::new(Arc::clone(&faulty) as Arc<dyn Storage>, Duration::from_millis(20));
    faulty.script(|_, _| Some(Fault::Hangs));
    let key = put(b"0123456789").key;
    let errors = [
        timed.store(vec![put(b"a"), put(b"b")]).await.remove(1).unwrap_err(),
        timed.get(key.clone()).await.unwrap_err(),
        timed.check_key_exists(&key).await.unwrap_err(),
        timed.delete(std::slice::from_ref(&key)).await.remove(0).unwrap_err(),
        timed.health().await.unwrap_err(),
    ];
    assert_eq!(errors.map(|error| error.kind), [FailureKind::Unavailable; 5]);
    faulty.script(|_, _| None);
    assert_eq!(faulty.get(key).await.unwrap(), "0123456789");
}

#[tokio::test]
async fn failures_pass_through_with_their_kind_and_name_the_object() {
    let (faulty, _dir) = faulty().await;
    faulty.script(|op, _| (op == "store").then_some(Fault::Fails(FailureKind::Throttled)));
    let store = Verified(Arc::new(TimedOut::new(faulty, Duration::from_mins(1))));
    let error = store.put(put(b"x")).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Throttled);
    assert_eq!(error.key, Some(put(b"x").key));
    assert!(error.to_string().contains("disk"), "{error}");
}
