//! The embedded queue passes the suite.

use std::sync::Arc;

use n2s_queue::{EmbeddedQueue, Queue};

fn open() -> std::future::Ready<(Arc<dyn Queue>, ())> {
    std::future::ready((Arc::new(EmbeddedQueue::new(64)), ()))
}

n2s_queue::conformance_cases!(open());

#[tokio::test]
async fn bytes_that_are_no_message_arrive_as_such() {
    let (queue, backend) = (EmbeddedQueue::new(1), "a".parse().unwrap());
    queue.publish_bytes(&backend, vec![0xff, 0]).unwrap();
    let mut consumer = queue.consume(&backend, 1).await.unwrap();
    let mut batch = consumer.next(1, std::time::Duration::ZERO).await.unwrap().unwrap();
    let delivery = batch.remove(0);
    assert!(delivery.message().is_err());
    delivery.ack().await.unwrap();
    assert_eq!(queue.waiting(&backend), 0);
}
