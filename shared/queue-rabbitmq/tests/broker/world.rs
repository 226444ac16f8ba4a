//! A node, and what cases have in common.

use std::sync::Arc;
use std::time::Duration;

use n2s_domain::{BackendName, JobId};
use n2s_queue::{Consumer, Message, Queue, QueueError};
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_servers::{RabbitMq, Vhost};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

pub const BOUND: Duration = Duration::from_mins(1);

/// The node and a runtime.
pub struct World {
    pub broker: RabbitMq,
    pub runtime: Arc<Runtime>,
}

impl World {
    pub fn start() -> Self {
        Self { broker: RabbitMq::start(), runtime: Arc::new(Runtime::new().unwrap()) }
    }

    /// A queue in a vhost of its own.
    pub fn open(&self) -> (Arc<RabbitQueue>, Vhost) {
        let vhost = self.broker.vhost();
        (self.queue(options(&vhost)), vhost)
    }

    pub fn queue(&self, options: Options) -> Arc<RabbitQueue> {
        let _guard = self.runtime.enter();
        Arc::new(RabbitQueue::start(options, None).unwrap())
    }
}

pub fn options(vhost: &Vhost) -> Options {
    Options {
        publish_timeout: Duration::from_secs(3),
        reconnect_max: Duration::from_millis(500),
        ..Options::new(&vhost.url)
    }
}

pub fn backend() -> BackendName {
    "a".parse().unwrap()
}

pub fn message(job: i64) -> Message {
    Message { job: JobId(job), dispatch_seq: 3, traceparent: None }
}

/// Publishes and returns the jobs whose messages were taken.
pub async fn publish(queue: &RabbitQueue, jobs: std::ops::Range<i64>) -> Vec<i64> {
    let answers = queue.publish(&backend(), jobs.clone().map(message).collect()).await;
    jobs.zip(answers).filter_map(|(job, answer)| answer.is_ok().then_some(job)).collect()
}

pub async fn publish_one(queue: &RabbitQueue, job: i64) -> Result<(), QueueError> {
    queue.publish(&backend(), vec![message(job)]).await.remove(0)
}

/// Receives and acks the next batch, making consumers as the worker does.
pub async fn take(queue: &RabbitQueue, consumer: &mut Option<Box<dyn Consumer>>) -> Vec<i64> {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < BOUND, "nothing arrived");
        if consumer.is_none() {
            *consumer = queue.consume(&backend(), 100).await.ok();
        }
        let Some(open) = consumer.as_mut() else { continue };
        match timeout(BOUND, open.next(100, Duration::from_millis(5))).await.unwrap() {
            Some(Ok(deliveries)) => {
                let mut jobs = Vec::new();
                for delivery in deliveries {
                    jobs.push(delivery.message().unwrap().job.0);
                    delivery.ack().await.unwrap();
                }
                return jobs;
            }
            _ => *consumer = None,
        }
    }
}

/// Polls until `ready` holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ready: impl FnMut() -> F) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < BOUND, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
