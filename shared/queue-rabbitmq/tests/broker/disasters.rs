//! What the queue does when the broker, a queue or a connection is taken away under it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use n2s_queue::{Memory as _, Queue as _, Remembers};

use crate::Case;
use crate::world::{World, backend, publish, publish_one, take, until};

pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("a_deleted_queue_is_declared_again_and_consumed", a_deleted_queue as Case),
        ("closed_connections_are_rebuilt", closed_connections),
        ("a_channel_error_is_overcome", a_channel_error),
        ("an_alarm_refuses_and_passes", an_alarm),
        ("no_confirmed_message_is_lost_with_a_killed_broker", a_killed_broker),
        ("a_wiped_broker_is_noticed", a_wiped_broker),
    ]
}

fn a_deleted_queue(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        world.broker.http("DELETE", &format!("/api/queues/{}/n2s.work.a", vhost.name), "");
        let ended =
            tokio::time::timeout(crate::world::BOUND, consumer.next(1, Duration::ZERO)).await.unwrap();
        assert!(ended.unwrap().is_err());
        let mut consumer = Some(queue.consume(&backend(), 10).await.unwrap());
        until("publishing", || async { publish_one(&queue, 4).await.is_ok() }).await;
        assert_eq!(take(&queue, &mut consumer).await, [4]);
    });
}

fn closed_connections(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        let mut consumer = Some(queue.consume(&backend(), 10).await.unwrap());
        world.broker.ctl(&["close_all_connections", "-p", &vhost.name, "test"]);
        until("publishing", || async { publish_one(&queue, 4).await.is_ok() }).await;
        assert_eq!(take(&queue, &mut consumer).await, [4]);
        queue.ready().unwrap();
    });
}

/// A delivery that is acked after its queue was taken away and its channel with it; and one acked late is ignored.
fn a_channel_error(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        publish_one(&queue, 1).await.unwrap();
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        let held = consumer.next(1, Duration::ZERO).await.unwrap().unwrap().remove(0);
        world.broker.ctl(&["close_all_connections", "-p", &vhost.name, "test"]);
        until("the end", || async { queue.ready().is_err() }).await;
        held.ack().await.unwrap();
        // Not acked in the broker's eyes, so it comes again.
        assert_eq!(take(&queue, &mut None).await, [1]);
    });
}

fn an_alarm(world: &mut World) {
    let (queue, _vhost) = world.open();
    world.runtime.block_on(async {
        let mut consumer = Some(queue.consume(&backend(), 10).await.unwrap());
        assert_eq!(publish(&queue, 0..1).await, [0]);
        world.broker.ctl(&["set_vm_memory_high_watermark", "0"]);
        until("the block", || async { publish_one(&queue, 1).await.is_err() }).await;
        assert!(queue.ready().is_err());
        assert!(publish(&queue, 100..200).await.is_empty());
        // Consuming goes on meanwhile.
        assert!(take(&queue, &mut consumer).await.contains(&0));
        world.broker.ctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]);
        until("the end of the alarm", || async { publish_one(&queue, 2).await.is_ok() }).await;
        queue.ready().unwrap();
    });
}

fn a_killed_broker(world: &mut World) {
    let (queue, _vhost) = world.open();
    let runtime = Arc::clone(&world.runtime);
    let (confirmed, mut received) = (Arc::new(std::sync::Mutex::new(BTreeSet::new())), BTreeSet::new());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publishing = runtime.spawn({
        let (queue, confirmed, stop) = (Arc::clone(&queue), Arc::clone(&confirmed), Arc::clone(&stop));
        async move {
            let mut job = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let taken = publish(&queue, job..job + 20).await;
                confirmed.lock().unwrap().extend(taken);
                job += 20;
            }
        }
    });
    let confirmed_now = || confirmed.lock().unwrap().len();
    let mut consumer = None;
    runtime.block_on(async {
        until("confirms", || async { confirmed_now() > 500 }).await;
        received.extend(take(&queue, &mut consumer).await);
    });
    world.broker.note_queues();
    world.broker.restart();
    let before = confirmed_now();
    runtime.block_on(async {
        until("confirms after the restart", || async { confirmed_now() > before + 200 }).await;
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        publishing.await.unwrap();
        let confirmed = confirmed.lock().unwrap().clone();
        while !confirmed.is_subset(&received) {
            received.extend(take(&queue, &mut consumer).await);
        }
    });
}

fn a_wiped_broker(world: &mut World) {
    let (queue, vhost) = world.open();
    let runtime = Arc::clone(&world.runtime);
    runtime.block_on(async {
        assert_eq!(queue.recall("id-1").await.unwrap(), Remembers::Nothing);
        queue.leave("id-1").await.unwrap();
        assert_eq!(queue.recall("id-1").await.unwrap(), Remembers::All);
        assert_eq!(queue.recall("id-2").await.unwrap(), Remembers::Nothing);
    });
    world.broker.wipe();
    world.broker.recreate(&vhost);
    runtime.block_on(async {
        until("reconnecting", || async { queue.ready().is_ok() }).await;
        assert_eq!(queue.recall("id-1").await.unwrap(), Remembers::Nothing);
        queue.leave("id-1").await.unwrap();
        assert_eq!(publish(&queue, 0..1).await, [0]);
    });
}
