//! What every queue must keep, one case per promise. An implementation's tests call [`crate::conformance_cases`] with a
//! function that opens an empty queue, of at most 64 messages per store, on the real thing.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, compiled as a library so that every queue can run them"
)]

use std::sync::Arc;
use std::time::Duration;

use n2s_domain::{BackendName, JobId};
use tokio::time::timeout;

use crate::{Consumer, Delivery, Message, Queue, QueueErrorKind};

const BOUND: Duration = Duration::from_secs(20);
const BRIEF: Duration = Duration::from_millis(200);

fn backend(name: &str) -> BackendName {
    name.parse().unwrap()
}

fn message(job: i64) -> Message {
    Message { job: JobId(job), dispatch_seq: 3, traceparent: None }
}

async fn publish(queue: &Arc<dyn Queue>, to: &str, jobs: impl Iterator<Item = i64>) {
    let answers = queue.publish(&backend(to), jobs.map(message).collect()).await;
    for answer in answers {
        answer.unwrap();
    }
}

async fn next(consumer: &mut Box<dyn Consumer>, max: usize) -> Vec<Delivery> {
    timeout(BOUND, consumer.next(max, Duration::from_millis(5))).await.unwrap().unwrap().unwrap()
}

async fn is_quiet(consumer: &mut Box<dyn Consumer>) -> bool {
    timeout(BRIEF, consumer.next(1, Duration::ZERO)).await.is_err()
}

/// Acks `count` messages and returns their jobs, ascending.
async fn drain(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<i64> {
    let mut jobs = Vec::new();
    while jobs.len() < count {
        for delivery in next(consumer, count).await {
            jobs.push(delivery.message().unwrap().job.0);
            delivery.ack().await.unwrap();
        }
    }
    jobs.sort_unstable();
    jobs
}

/// What was published arrives, and not again once it was acked.
pub async fn delivers_once_acked(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..40).await;
    let mut consumer = queue.consume(&backend("a"), 64).await.unwrap();
    assert_eq!(drain(&mut consumer, 40).await, (0..40).collect::<Vec<_>>());
    drop(consumer);
    assert!(is_quiet(&mut queue.consume(&backend("a"), 64).await.unwrap()).await);
}

/// A message comes as it went.
pub async fn keeps_the_message(queue: Arc<dyn Queue>) {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
    let sent = Message { job: JobId(i64::MAX), dispatch_seq: u64::MAX, traceparent: trace };
    queue.publish(&backend("a"), vec![sent]).await.remove(0).unwrap();
    let mut consumer = queue.consume(&backend("a"), 1).await.unwrap();
    assert_eq!(next(&mut consumer, 1).await[0].message().unwrap(), sent);
}

/// One that waits for work is woken by it.
pub async fn wakes_who_waits(queue: Arc<dyn Queue>) {
    let mut consumer = queue.consume(&backend("a"), 8).await.unwrap();
    let (received, ()) = tokio::join!(next(&mut consumer, 8), publish(&queue, "a", 7..8));
    assert_eq!(received[0].message().unwrap().job, JobId(7));
}

/// Each store has its own queue.
pub async fn keeps_stores_apart(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..1).await;
    let mut other = queue.consume(&backend("b"), 8).await.unwrap();
    assert!(is_quiet(&mut other).await);
    publish(&queue, "b", 1..2).await;
    assert_eq!(drain(&mut other, 1).await, [1]);
}

/// What is dropped without an ack comes back, also to another consumer.
pub async fn the_dropped_comes_back(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..5).await;
    let mut first = queue.consume(&backend("a"), 64).await.unwrap();
    let mut held = next(&mut first, 5).await;
    while held.len() < 5 {
        held.extend(next(&mut first, 5 - held.len()).await);
    }
    held.remove(0).ack().await.unwrap();
    drop(held);
    drop(first);
    let mut second = queue.consume(&backend("a"), 64).await.unwrap();
    assert_eq!(drain(&mut second, 4).await.len(), 4);
    assert!(is_quiet(&mut second).await);
}

/// A consumer holds no more than its prefetch, and goes on when it acks.
pub async fn prefetch_bounds_what_is_held(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..5).await;
    let mut consumer = queue.consume(&backend("a"), 2).await.unwrap();
    let mut held = next(&mut consumer, 5).await;
    while held.len() < 2 {
        held.extend(next(&mut consumer, 5).await);
    }
    assert_eq!(held.len(), 2);
    assert!(is_quiet(&mut consumer).await);
    held.remove(0).ack().await.unwrap();
    assert_eq!(next(&mut consumer, 5).await.len(), 1);
}

/// A batch is never larger than asked for.
pub async fn max_bounds_a_batch(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..10).await;
    let mut consumer = queue.consume(&backend("a"), 64).await.unwrap();
    assert!((1..=3).contains(&next(&mut consumer, 3).await.len()));
}

/// Two consumers share the work and nothing arrives twice.
pub async fn consumers_share(queue: Arc<dyn Queue>) {
    publish(&queue, "a", 0..50).await;
    let mut one = queue.consume(&backend("a"), 10).await.unwrap();
    let mut two = queue.consume(&backend("a"), 10).await.unwrap();
    let mut jobs = Vec::new();
    while jobs.len() < 50 {
        let batch = tokio::select! {
            batch = one.next(7, Duration::ZERO) => batch,
            batch = two.next(7, Duration::ZERO) => batch,
            () = tokio::time::sleep(BOUND) => panic!("only {} arrived", jobs.len()),
        };
        for delivery in batch.unwrap().unwrap() {
            jobs.push(delivery.message().unwrap().job.0);
            delivery.ack().await.unwrap();
        }
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (0..50).collect::<Vec<_>>());
}

/// It refuses beyond its bound, message by message, and what it refused does not arrive.
pub async fn refuses_when_full(queue: Arc<dyn Queue>) {
    let answers = queue.publish(&backend("a"), (0..200).map(message).collect()).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((64..200).contains(&taken), "{taken} were taken");
    assert!(answers.iter().filter_map(|a| a.as_ref().err()).all(|e| e.kind == QueueErrorKind::Full));
    let mut consumer = queue.consume(&backend("a"), 200).await.unwrap();
    assert_eq!(drain(&mut consumer, taken).await.len(), taken);
    assert!(is_quiet(&mut consumer).await);
}

/// Instantiates every case: `conformance_cases!(open())`, where `open()` is a future of an `Arc<dyn Queue>` and
/// what it lives in.
#[macro_export]
macro_rules! conformance_cases {
    ($open:expr) => {
        $crate::conformance_cases!($open;
            delivers_once_acked, keeps_the_message, wakes_who_waits, keeps_stores_apart, the_dropped_comes_back,
            prefetch_bounds_what_is_held, max_bounds_a_batch, consumers_share, refuses_when_full);
    };
    ($open:expr; $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (queue, _world) = $open.await;
            $crate::conformance::$case(queue).await;
        })+
    };
}
