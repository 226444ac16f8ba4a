//! What every store must keep, one case per promise. A backend's tests call [`crate::conformance_cases`] with a function
//! that opens an empty store of the real kind.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, compiled as a library so that every backend can run them"
)]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use n2s_domain::{FailureKind, SealedHash, StoreKey, Version};

use crate::{Body, Get, ObjectKey, Put, Storage, StorageExt as _, layout};

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

fn absent() -> ObjectKey {
    layout::blob(SealedHash([0; 32]))
}

/// Whatever was stored comes back, from nothing to the largest object.
pub async fn comes_back_as_it_went(store: Arc<dyn Storage>) {
    for length in [0usize, 1, 4_095, 17 * 1024 * 1024] {
        let put = put(&vec![length.to_le_bytes()[0]; length]);
        store.put(put.clone()).await.unwrap();
        assert_eq!(&store.get(put.key.clone()).await.unwrap(), put.body.bytes());
        assert_eq!(store.stat(&[put.key]).await.remove(0).unwrap().unwrap().size, length as u64);
    }
}

/// The names of the layout are all possible, several levels deep.
pub async fn holds_every_name_of_the_layout(store: Arc<dyn Storage>) {
    let dataset = StoreKey([7; 32]);
    let keys = [
        layout::marker(),
        layout::epoch(n2s_domain::Epoch(12)),
        layout::archive_head(dataset),
        layout::manifest_header(dataset, Version(3)),
        layout::manifest_body(dataset, Version(3)),
    ];
    for key in keys {
        store.put(Put { key: key.clone(), ..put(key.as_str().as_bytes()) }).await.unwrap();
        assert_eq!(store.get(key.clone()).await.unwrap(), key.as_str().as_bytes());
    }
}

/// The absent is not found, and says so in the kind.
pub async fn says_what_is_absent(store: Arc<dyn Storage>) {
    assert_eq!(store.get(absent()).await.unwrap_err().kind, FailureKind::NotFound);
    assert!(!store.check_key_exists(&absent()).await.unwrap());
    store.delete(&[absent()]).await.remove(0).unwrap();
}

/// Storing the same again succeeds; other bytes are refused and change nothing, unless overwriting was asked for.
pub async fn is_written_once(store: Arc<dyn Storage>) {
    let first = put(b"first");
    store.put(first.clone()).await.unwrap();
    store.put(first.clone()).await.unwrap();
    let other = Put { key: first.key.clone(), ..put(b"other") };
    assert_eq!(store.put(other.clone()).await.unwrap_err().kind, FailureKind::Corrupt);
    assert_eq!(store.get(first.key.clone()).await.unwrap(), "first");
    store.put(Put { overwrite: true, ..other }).await.unwrap();
    assert_eq!(store.get(first.key).await.unwrap(), "other");
}

/// A name that holds the wrong bytes of the right length is not mistaken for the object.
pub async fn damage_is_not_taken_for_the_object(store: Arc<dyn Storage>) {
    let right = put(b"right");
    store.put(Put { key: right.key.clone(), overwrite: true, ..put(b"wrong") }).await.unwrap();
    assert!(store.put(right.clone()).await.is_err(), "it was acknowledged without being there");
    store.put(Put { overwrite: true, ..right.clone() }).await.unwrap();
    assert_eq!(store.get(right.key).await.unwrap(), "right");
}

/// Ranges are of bytes, the end excluded.
pub async fn reads_ranges(store: Arc<dyn Storage>) {
    let put = put(b"0123456789");
    store.put(put.clone()).await.unwrap();
    let get = |range| Get { key: put.key.clone(), range: Some(range) };
    let answers = store.retrieve(vec![get(0..1), get(3..7), get(9..10)]).await;
    let read: Vec<Bytes> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(read, ["0", "3456", "9"]);
}

/// One bad item of a batch fails alone, and answers keep their order.
pub async fn one_bad_item_fails_alone(store: Arc<dyn Storage>) {
    let (a, b) = (put(b"a"), put(b"b"));
    let taken = Put { key: a.key.clone(), ..put(b"not a") };
    let answers = store.store(vec![a.clone(), b.clone()]).await;
    assert!(answers.iter().all(Result::is_ok));
    let answers = store.store(vec![put(b"c"), taken, put(b"d")]).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let get = |key: &ObjectKey| Get { key: key.clone(), range: None };
    let read = store.retrieve(vec![get(&a.key), get(&absent()), get(&b.key)]).await;
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

/// Many at once, some of them the same, all arrive.
pub async fn concurrent_puts_of_one_name_all_succeed(store: Arc<dyn Storage>) {
    let puts = (0..32u8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put(put(&vec![n % 4; 100_000])).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    for n in 0..4u8 {
        assert_eq!(store.get(put(&vec![n; 100_000]).key).await.unwrap(), vec![n; 100_000]);
    }
}

/// Deleted objects are gone, deleting again succeeds.
pub async fn deletes(store: Arc<dyn Storage>) {
    let put = put(b"x");
    store.put(put.clone()).await.unwrap();
    for _ in 0..2 {
        store.delete(std::slice::from_ref(&put.key)).await.remove(0).unwrap();
        assert!(!store.check_key_exists(&put.key).await.unwrap());
    }
}

/// A listing names every object below a prefix, and no other.
pub async fn lists_by_prefix(store: Arc<dyn Storage>) {
    let mut expected: Vec<_> = (0..300u16).map(|n| put(&n.to_le_bytes())).collect();
    store.store(expected.clone()).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    store.put(Put { key: layout::marker(), ..put(b"m") }).await.unwrap();
    let mut listed: Vec<_> = store.list("blobs").try_collect().await.unwrap();
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    expected.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(
        listed.iter().map(|l| &l.key).collect::<Vec<_>>(),
        expected.iter().map(|p| &p.key).collect::<Vec<_>>()
    );
    assert!(listed.iter().all(|listed| listed.size == 2));
    assert!(store.list("archives").try_collect::<Vec<_>>().await.unwrap().is_empty());
}

/// A healthy store says so, as often as it is asked.
pub async fn is_healthy_again_and_again(store: Arc<dyn Storage>) {
    store.health().await.unwrap();
    store.health().await.unwrap();
}

/// Instantiates every case for a backend: `conformance_cases!(open)`, where `open` gives a fresh store and what it lives in.
#[macro_export]
macro_rules! conformance_cases {
    ($open:expr) => {
        $crate::conformance_cases!($open;
            comes_back_as_it_went, holds_every_name_of_the_layout, says_what_is_absent, is_written_once,
            damage_is_not_taken_for_the_object, reads_ranges, one_bad_item_fails_alone,
            concurrent_puts_of_one_name_all_succeed, deletes, lists_by_prefix, is_healthy_again_and_again);
    };
    ($open:expr; $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (store, _world) = $open();
            $crate::conformance::$case(store).await;
        })+
    };
}
