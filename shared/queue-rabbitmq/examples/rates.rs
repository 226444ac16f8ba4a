//! How many messages a second a node on this machine takes and gives, as JSON: `cargo run --release -p n2s-queue-rabbitmq
//! --example rates`. The node is private and has its queues on the disk of the temporary directory.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]
#![expect(clippy::print_stdout, reason = "its answer")]

use std::time::{Duration, Instant};

use n2s_domain::{BackendName, JobId};
use n2s_queue::{Message, Queue as _};
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_servers::RabbitMq;

const MESSAGES: usize = 100_000;
/// What a busy dispatcher publishes at once.
const BATCH: usize = 5_000;

fn per_second(count: usize, began: Instant) -> u64 {
    u64::try_from(count as u128 * 1_000_000 / began.elapsed().as_micros().max(1)).unwrap()
}

async fn publish(queue: &RabbitQueue, backend: &BackendName, count: usize, batch: usize) -> u64 {
    let message =
        |n: usize| Message { job: JobId(i64::try_from(n).unwrap()), dispatch_seq: 1, traceparent: None };
    let began = Instant::now();
    for from in (0..count).step_by(batch) {
        let messages = (from..count.min(from + batch)).map(message).collect();
        for answer in queue.publish(backend, messages).await {
            answer.unwrap();
        }
    }
    per_second(count, began)
}

/// Receives exactly so many and acks as a worker's lane does.
async fn consume(queue: &RabbitQueue, backend: &BackendName, count: usize, prefetch: usize) -> u64 {
    let mut consumer = queue.consume(backend, prefetch).await.unwrap();
    let (began, mut received) = (Instant::now(), 0);
    while received < count {
        for delivery in
            consumer.next((count - received).min(200), Duration::from_millis(5)).await.unwrap().unwrap()
        {
            delivery.ack().await.unwrap();
            received += 1;
        }
    }
    per_second(count, began)
}

#[tokio::main]
async fn main() {
    let broker = tokio::task::spawn_blocking(RabbitMq::start).await.unwrap();
    let options = Options { length_max: 1_000_000, ..Options::new(broker.vhost().url) };
    let queue = RabbitQueue::start(options, None).unwrap();
    let backend: BackendName = "a".parse().unwrap();
    let alone = publish(&queue, &backend, 500, 1).await;
    let windowed = publish(&queue, &backend, MESSAGES, BATCH).await;
    let narrow = consume(&queue, &backend, MESSAGES / 2, 200).await;
    let wide = consume(&queue, &backend, MESSAGES / 2, 1_000).await;
    let (sent, received) =
        tokio::join!(publish(&queue, &backend, MESSAGES, BATCH), consume(&queue, &backend, MESSAGES, 200),);
    queue.close().await;
    drop(broker);
    println!(
        "{{\"publish one by one\":{alone},\"publish\":{windowed},\"consume, prefetch 200\":{narrow},\
         \"consume, prefetch 1000\":{wide},\"both at once\":[{sent},{received}]}}"
    );
}
