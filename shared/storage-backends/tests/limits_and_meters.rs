//! What wraps a store to hold it within limits and to count. Time is the runtime's, stopped: nothing here waits.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test fails by panicking; the numbers are whole"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use n2s_domain::{FailureKind, SealedHash, Timestamp};
use n2s_storage::testing::{Fault, Faulty};
use n2s_storage::{Body, Get, Limited, Metered, Put, Storage, StorageExt as _, TimedOut, layout};
use n2s_storage_backends::LocalStore;
use n2s_telemetry::metrics::render;
use tempfile::TempDir;
use tokio::time::Instant;

fn put(content: &[u8]) -> Put {
    let digest = SealedHash(*blake3::hash(content).as_bytes());
    let body = Body::Bytes(Bytes::copy_from_slice(content));
    Put { key: layout::blob(digest), body, digest, overwrite: false }
}

fn kib(kib: usize, fill: u8) -> Put {
    put(&vec![fill; kib << 10])
}

fn faulty() -> (Arc<Faulty>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Arc::new(Faulty::new(Arc::new(LocalStore::new("disk", dir.path())))), dir)
}

fn limited(bytes_per_sec: u64) -> (Arc<Limited>, Arc<Faulty>, TempDir) {
    let (faulty, dir) = faulty();
    let inner = Arc::clone(&faulty) as Arc<dyn Storage>;
    (Arc::new(Limited::new(inner, bytes_per_sec)), faulty, dir)
}

#[tokio::test(start_paused = true)]
async fn bytes_both_ways_keep_to_the_budget() {
    let (store, _, _dir) = limited(64 << 10);
    let begun = Instant::now();
    let secs = || begun.elapsed().as_secs();
    store.put(kib(128, 1)).await.unwrap();
    assert_eq!(secs(), 0, "what nobody owes was waited for");
    store.put(kib(64, 2)).await.unwrap();
    assert_eq!(secs(), 2);
    store.get(kib(128, 1).key).await.unwrap();
    assert_eq!(secs(), 3);
    store.get(kib(64, 2).key).await.unwrap();
    assert_eq!(secs(), 5, "what was read is not owed");
    // What has been paid for while nothing moved is not saved up for a burst.
    tokio::time::advance(Duration::from_mins(10)).await;
    let later = Instant::now();
    store.put(kib(64, 3)).await.unwrap();
    store.put(kib(64, 4)).await.unwrap();
    assert_eq!(later.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_spread_over_the_time_it_costs_and_answered_in_order() {
    let (store, faulty, _dir) = limited(64 << 10);
    let bad = kib(32, 3).key.to_string();
    faulty
        .script(move |op, key| (op == "store" && key == bad).then_some(Fault::Fails(FailureKind::Throttled)));
    let begun = Instant::now();
    let answers = store.store((0..8).map(|n| kib(32, n)).collect()).await;
    let good: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, true, false, true, true, true, true]);
    assert_eq!(begun.elapsed().as_secs(), 3, "the last of four portions begins when three are paid for");
}

#[tokio::test(start_paused = true)]
async fn what_moves_no_objects_waits_for_no_one() {
    let (store, _, _dir) = limited(1 << 10);
    let begun = Instant::now();
    store.put(kib(64, 1)).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(store.list("blobs").try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert!(store.check_key_exists(&kib(64, 1).key).await.unwrap());
    assert_eq!(begun.elapsed().as_secs(), 0);
    store.get(kib(64, 1).key).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_grows_with_the_bytes_of_the_batch() {
    let (faulty, _dir) = faulty();
    let store = TimedOut::new(Arc::clone(&faulty) as Arc<dyn Storage>, Duration::from_secs(30));
    faulty.script(|_, _| Some(Fault::Hangs));
    let waits = async |work: &mut (dyn Future<Output = ()> + Unpin)| {
        let begun = Instant::now();
        work.await;
        begun.elapsed().as_secs()
    };
    let key = kib(1, 0).key;
    let whole = Get { key: key.clone(), range: None };
    let part = Get { key: key.clone(), range: Some(0..8 << 20) };
    assert_eq!(waits(&mut Box::pin(async { drop(store.store(vec![kib(10 << 10, 0); 2]).await) })).await, 50);
    assert_eq!(waits(&mut Box::pin(async { drop(store.retrieve(vec![whole; 7]).await) })).await, 37);
    assert_eq!(waits(&mut Box::pin(async { drop(store.retrieve(vec![part]).await) })).await, 38);
    assert_eq!(waits(&mut Box::pin(async { drop(store.stat(std::slice::from_ref(&key)).await) })).await, 30);
}

/// A number of the exposition, by its whole series.
fn shown(series: &str) -> f64 {
    let text = render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// Objects of an operation that ended so.
fn objects(store: &str, operation: &str, result: &str) -> f64 {
    shown(&format!(
        "n2s_store_objects_total{{backend=\"{store}\",operation=\"{operation}\",result=\"{result}\"}}"
    ))
}

/// A family by store and operation.
fn of(family: &str, store: &str, operation: &str) -> f64 {
    shown(&format!("{family}{{backend=\"{store}\",operation=\"{operation}\"}}"))
}

#[tokio::test]
async fn what_went_through_is_counted_by_operation_and_outcome() {
    const NAME: &str = "counted";
    let (faulty, _dir) = faulty();
    let store = Metered::new(Arc::clone(&faulty) as Arc<dyn Storage>, NAME, None);
    let bad = kib(2, 2).key.to_string();
    faulty
        .script(move |op, key| (op == "store" && key == bad).then_some(Fault::Fails(FailureKind::Throttled)));
    drop(store.store((0..4).map(|n| kib(2, n)).collect()).await);
    store.get(kib(2, 1).key).await.unwrap();
    store.get(kib(2, 2).key).await.unwrap_err();
    assert!(!store.check_key_exists(&kib(2, 2).key).await.unwrap());
    store.delete(&[kib(2, 0).key]).await.remove(0).unwrap();
    store.health().await.unwrap();
    assert_eq!(store.sweep(Timestamp::from_micros(0)).await.unwrap(), 0);
    assert_eq!(store.list("blobs").try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let outcomes = ["store", "retrieve", "stat", "delete", "list", "health", "sweep"].map(|operation| {
        assert_eq!(of("n2s_store_calls_running", NAME, operation), 0.0, "{operation}");
        assert_eq!(objects(NAME, operation, "abandoned"), 0.0, "{operation}");
        let failed: f64 = FailureKind::ALL.map(|kind| objects(NAME, operation, kind.as_str())).iter().sum();
        (
            of("n2s_store_call_duration_seconds_count", NAME, operation),
            objects(NAME, operation, "ok"),
            failed,
            of("n2s_store_bytes_total", NAME, operation),
        )
    });
    let expected = [
        (1.0, 3.0, 1.0, 6144.0),
        (2.0, 1.0, 1.0, 2048.0),
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 2.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(objects(NAME, "store", "throttled"), 1.0);
    assert_eq!(objects(NAME, "retrieve", "not-found"), 1.0);
    assert!(of("n2s_store_call_duration_seconds_sum", NAME, "store") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn who_went_away_and_who_still_waits_is_counted_too() {
    const NAME: &str = "left";
    let (faulty, _dir) = faulty();
    let store = Arc::new(Metered::new(Arc::clone(&faulty) as Arc<dyn Storage>, NAME, None));
    store.put(kib(1, 9)).await.unwrap();
    faulty.script(|_, _| Some(Fault::Hangs));
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.put(kib(1, 1)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(of("n2s_store_calls_running", NAME, "store"), 1.0);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // A listing that nobody reads to its end, too.
    let mut listing = store.list("blobs");
    listing.next().await.unwrap().unwrap();
    drop(listing);
    for operation in ["store", "list"] {
        assert_eq!(of("n2s_store_calls_running", NAME, operation), 0.0, "{operation}");
        assert_eq!(objects(NAME, operation, "abandoned"), 1.0, "{operation}");
    }
    // Outside a deadline, what is late has been answered: by the deadline.
    let timed = Arc::new(TimedOut::new(faulty, Duration::from_secs(20)));
    let store = Metered::new(timed, "late", None);
    store.put(kib(1, 1)).await.unwrap_err();
    assert_eq!(objects("late", "store", "unavailable"), 1.0);
    assert_eq!(objects("late", "store", "abandoned"), 0.0);
}
