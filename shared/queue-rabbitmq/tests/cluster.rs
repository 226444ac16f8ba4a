//! The queue at a cluster of three nodes, of which one after the other is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use n2s_domain::{BackendName, JobId};
use n2s_queue::{Consumer, Message, Queue as _};
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_servers::RabbitCluster;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_mins(2);
const BRIEF: Duration = Duration::from_secs(1);

fn backend() -> BackendName {
    "a".parse().unwrap()
}

async fn publish(queue: &RabbitQueue, jobs: std::ops::Range<i64>) -> BTreeSet<i64> {
    let message = |job| Message { job: JobId(job), dispatch_seq: 1, traceparent: None };
    let answers = queue.publish(&backend(), jobs.clone().map(message).collect()).await;
    jobs.zip(answers).filter_map(|(job, answer)| answer.is_ok().then_some(job)).collect()
}

async fn take(queue: &RabbitQueue, consumer: &mut Option<Box<dyn Consumer>>) -> Vec<i64> {
    if consumer.is_none() {
        *consumer = queue.consume(&backend(), 200).await.ok();
    }
    let Some(open) = consumer.as_mut() else { return Vec::new() };
    let next = timeout(BRIEF, open.next(200, Duration::from_millis(5))).await;
    let Ok(next) = next else { return Vec::new() };
    let Some(Ok(deliveries)) = next else {
        *consumer = None;
        return Vec::new();
    };
    let mut jobs = Vec::new();
    for delivery in deliveries {
        jobs.push(delivery.message().unwrap().job.0);
        delivery.ack().await.unwrap();
    }
    jobs
}

#[track_caller]
fn within_bound(began: Instant, what: &str) {
    assert!(began.elapsed() < BOUND, "{what} did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_confirmed_message_is_lost_with_the_leader_and_none_is_confirmed_without_a_majority() {
    let mut cluster = tokio::task::spawn_blocking(RabbitCluster::start).await.unwrap();
    let through_second = cluster.nodes[1].vhost();
    let through_first = cluster.nodes[0].at(through_second.name.clone());
    let options = |url: &str| Options {
        publish_timeout: Duration::from_secs(3),
        reconnect_max: Duration::from_millis(500),
        silence: Duration::from_secs(10),
        ..Options::new(url)
    };
    // A queue is led from the node it was declared through.
    let declaring = RabbitQueue::start(options(&through_second.url), None).unwrap();
    let mut confirmed = publish(&declaring, 0..1_000).await;
    assert_eq!(confirmed.len(), 1_000);
    declaring.close().await;
    let leader = || cluster.leader(0, &through_second.name, "n2s.work.a");
    assert_eq!(leader(), Some(1));

    let queue = Arc::new(RabbitQueue::start(options(&through_first.url), None).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let (queue, stop) = (Arc::clone(&queue), Arc::clone(&stop));
        async move {
            let (mut confirmed, mut job) = (BTreeSet::new(), 1_000);
            while !stop.load(Ordering::SeqCst) {
                confirmed.extend(publish(&queue, job..job + 50).await);
                job += 50;
            }
            confirmed
        }
    });
    let (mut received, mut consumer) = (BTreeSet::new(), None);
    received.extend(take(&queue, &mut consumer).await);
    cluster.nodes[1].kill();
    let began = Instant::now();
    let known = |received: &BTreeSet<i64>| *received.last().unwrap();
    let before = known(&received);
    while known(&received) < before + 2_000 {
        within_bound(began, "the choice of another leader");
        received.extend(take(&queue, &mut consumer).await);
    }
    let leader = cluster.leader(0, &through_second.name, "n2s.work.a");
    assert!(matches!(leader, Some(0 | 2)), "{leader:?}");
    stop.store(true, Ordering::SeqCst);
    confirmed.extend(publishing.await.unwrap());
    while !confirmed.is_subset(&received) {
        let missing = confirmed.difference(&received).take(5).collect::<Vec<_>>();
        within_bound(began, &format!("the arrival of {missing:?} and more, all confirmed"));
        received.extend(take(&queue, &mut consumer).await);
    }
    drop(consumer);

    // One of three is no majority.
    cluster.nodes[2].kill();
    assert_eq!(publish(&queue, 1_000_000..1_000_010).await, BTreeSet::new());
    tokio::task::block_in_place(|| cluster.nodes[2].restart());
    let began = Instant::now();
    while publish(&queue, 2_000_000..2_000_001).await.is_empty() {
        within_bound(began, "publishing with a majority again");
    }
}
