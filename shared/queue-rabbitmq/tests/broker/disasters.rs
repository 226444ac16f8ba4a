//! What the queue does when the broker, a queue or a connection is taken away under it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use n2s_queue::{Consumer, Memory as _, Queue as _, QueueErrorKind, Remembers};
use n2s_queue_rabbitmq::Options;
use tokio::time::timeout;

use crate::Case;
use crate::world::{BOUND, World, backend, message, options, publish, publish_one, take, until};

pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("a_purged_queue_loses_its_messages_and_nothing_else", a_purged_queue as Case),
        ("a_deleted_queue_is_declared_again_and_consumed", a_deleted_queue),
        ("closed_connections_are_rebuilt", closed_connections),
        ("a_late_ack_is_ignored_and_its_message_comes_again", a_late_ack),
        ("an_alarm_refuses_and_passes", an_alarm),
        ("no_confirmed_message_is_lost_with_a_killed_broker", a_killed_broker),
        ("a_wiped_broker_is_noticed", a_wiped_broker),
        ("a_broker_that_hangs_is_left_and_found_again", a_hanging_broker),
        ("a_consumer_that_the_broker_forgot_is_made_anew", a_forgotten_consumer),
        ("a_queue_without_a_leader_holds_up_no_other_store", a_queue_without_a_leader),
        ("a_consumer_made_when_nobody_waits_any_more_keeps_nothing", a_late_consumer),
        ("a_channel_that_is_not_closed_keeps_nothing", a_lasting_channel),
    ]
}

fn a_purged_queue(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        queue.leave("id").await.unwrap();
        assert_eq!(publish(&queue, 0..5).await.len(), 5);
        world.broker.http("DELETE", &format!("/api/queues/{}/n2s.work.a/contents", vhost.name), "");
        assert_eq!(publish(&queue, 5..6).await, [5]);
        // The jobs of the others have their deadline.
        assert_eq!(take(&queue, &mut None).await, [5]);
        assert_eq!(queue.recall("id").await.unwrap(), Remembers::All);
        queue.ready().unwrap();
    });
}

/// Waits for the end of a consumer. What was published a moment before may still reach it.
async fn ends(consumer: &mut Box<dyn Consumer>) {
    let mut held = Vec::new();
    while let Ok(batch) = timeout(BOUND, consumer.next(1, Duration::ZERO)).await.unwrap().unwrap() {
        assert!(held.len() < 10, "the connection was not lost");
        held.push(batch);
    }
}

fn a_deleted_queue(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        world.broker.http("DELETE", &format!("/api/queues/{}/n2s.work.a", vhost.name), "");
        ends(&mut consumer).await;
        let mut consumer = Some(queue.consume(&backend(), 10).await.unwrap());
        until("publishing", || async { publish_one(&queue, 4).await.is_ok() }).await;
        assert_eq!(take(&queue, &mut consumer).await, [4]);
    });
}

fn closed_connections(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        assert_eq!(publish(&queue, 0..1).await, [0]);
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        let held = consumer.next(1, Duration::ZERO).await.unwrap().unwrap();
        world.broker.ctl(&["close_all_connections", "-p", &vhost.name, "test"]);
        ends(&mut consumer).await;
        drop(held);
        until("publishing", || async { publish_one(&queue, 4).await.is_ok() }).await;
        let mut consumer = None;
        let mut received = take(&queue, &mut consumer).await;
        while !(received.contains(&0) && received.contains(&4)) {
            received.extend(take(&queue, &mut consumer).await);
        }
        queue.ready().unwrap();
    });
}

/// A delivery that is acked after its connection was taken away.
fn a_late_ack(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        publish_one(&queue, 1).await.unwrap();
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        let held = consumer.next(1, Duration::ZERO).await.unwrap().unwrap().remove(0);
        world.broker.ctl(&["close_all_connections", "-p", &vhost.name, "test"]);
        ends(&mut consumer).await;
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
    let refused = Arc::new(AtomicUsize::new(0));
    let (confirmed, mut received) = (Arc::new(std::sync::Mutex::new(BTreeSet::new())), BTreeSet::new());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publishing = runtime.spawn({
        let (queue, confirmed, stop) = (Arc::clone(&queue), Arc::clone(&confirmed), Arc::clone(&stop));
        let refused = Arc::clone(&refused);
        async move {
            let mut job = 0;
            while !stop.load(Ordering::SeqCst) {
                let taken = publish(&queue, job..job + 20).await;
                refused.fetch_add(20 - taken.len(), Ordering::SeqCst);
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
        stop.store(true, Ordering::SeqCst);
        publishing.await.unwrap();
        assert!(refused.load(Ordering::SeqCst) > 0, "nobody noticed that the broker was dead");
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

/// Stopped, not dead: its sockets stay open and nobody answers.
fn a_hanging_broker(world: &mut World) {
    let vhost = world.broker.vhost();
    let queue = world.queue(Options { heartbeat: Duration::from_secs(1), ..options(&vhost) });
    let runtime = Arc::clone(&world.runtime);
    runtime.block_on(async {
        assert_eq!(publish(&queue, 0..1).await, [0]);
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        let held = consumer.next(1, Duration::ZERO).await.unwrap().unwrap();
        world.broker.freeze();
        // Threads stop one after the other, and may answer once more.
        until("silence", || async {
            let answer = timeout(BOUND, publish_one(&queue, 1)).await.unwrap();
            answer.is_err_and(|error| error.kind == QueueErrorKind::Unavailable)
        })
        .await;
        ends(&mut consumer).await;
        drop(held);
        world.broker.thaw();
        until("publishing", || async { publish_one(&queue, 2).await.is_ok() }).await;
        let (mut consumer, mut received) = (None, BTreeSet::new());
        while !received.contains(&2) {
            received.extend(take(&queue, &mut consumer).await);
        }
    });
}

/// Its channel stands, and it is simply not served any more.
fn a_forgotten_consumer(world: &mut World) {
    let vhost = world.broker.vhost();
    let queue = world.queue(Options { silence: Duration::from_secs(1), ..options(&vhost) });
    world.runtime.block_on(async {
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        let forget = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{0}\">>, queue, <<\"n2s.work.a\">>)), \
             [ra:process_command({{'{0}_n2s.work.a', node()}}, \
              rabbit_fifo:make_checkout({{element(2, C), element(1, C)}}, cancel, #{{}})) \
              || C <- rabbit_amqqueue:consumers(Q)].",
            vhost.name
        );
        assert!(world.broker.ctl(&["eval", &forget]).contains("ok"));
        // An empty queue is no reason to suspect anything.
        assert!(timeout(Duration::from_secs(3), consumer.next(1, Duration::ZERO)).await.is_err());
        assert_eq!(publish(&queue, 0..1).await, [0]);
        let ended = timeout(BOUND, consumer.next(1, Duration::ZERO)).await.unwrap().unwrap().unwrap_err();
        assert!(format!("{}", ended.source).contains("delivers none"), "{ended:?}");
        assert_eq!(take(&queue, &mut None).await, [0]);
        // What a full prefetch keeps waiting is no reason either.
        let mut narrow = queue.consume(&backend(), 1).await.unwrap();
        assert_eq!(publish(&queue, 1..3).await, [1, 2]);
        let held = narrow.next(1, Duration::ZERO).await.unwrap().unwrap();
        assert!(timeout(Duration::from_secs(3), narrow.next(1, Duration::ZERO)).await.is_err());
        drop(held);
        assert_eq!(take(&queue, &mut Some(narrow)).await, [1]);
    });
}

/// As in a cluster that lost the majority of one queue's members.
fn a_queue_without_a_leader(world: &mut World) {
    let (queue, vhost) = world.open();
    let member = format!("{{'{}_n2s.work.a', node()}}", vhost.name);
    world.runtime.block_on(async {
        assert_eq!(publish(&queue, 0..1).await, [0]);
        world.broker.ctl(&["eval", &format!("ra:stop_server(quorum_queues, {member}).")]);
        let stuck = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { publish(&queue, 1..200).await }
        });
        let mut others = 0;
        while !stuck.is_finished() {
            let answer = queue.publish(&"b".parse().unwrap(), vec![message(others)]).await.remove(0);
            answer.unwrap_or_else(|error| panic!("after {others}: {error:?}"));
            others += 1;
        }
        assert!(stuck.await.unwrap().is_empty(), "a queue without a leader took messages");
        assert!(others > 20, "the other store's messages waited: {others}");
        world.broker.ctl(&["eval", &format!("ra:restart_server(quorum_queues, {member}).")]);
        until("publishing", || async { publish_one(&queue, 201).await.is_ok() }).await;
    });
}

/// A queue that answers late: whoever asked for a consumer has given up by the time it is made.
fn a_late_consumer(world: &mut World) {
    let vhost = world.broker.vhost();
    let (answer_timeout, silence) = (Duration::from_secs(1), Duration::from_hours(1));
    let queue = world.queue(Options { answer_timeout, silence, ..options(&vhost) });
    let member = format!("{{'{}_n2s.work.a', node()}}", vhost.name);
    world.runtime.block_on(async {
        let b = "b".parse().unwrap();
        let mut other = queue.consume(&b, 10).await.unwrap();
        assert_eq!(publish(&queue, 0..1).await, [0]);
        assert_eq!(take(&queue, &mut None).await, [0]);
        world.broker.ctl(&["eval", &format!("sys:suspend({member}).")]);
        let refused = queue.consume(&backend(), 10).await.unwrap_err();
        assert!(format!("{}", refused.source).contains("no answer"), "{refused:?}");
        world.broker.ctl(&["eval", &format!("sys:resume({member}).")]);
        // After the consumer: the queue does one thing after the other.
        until("publishing", || async { publish_one(&queue, 100).await.is_ok() }).await;
        assert_eq!(publish(&queue, 1..20).await.len(), 19);
        let (mut consumer, mut received) = (None, BTreeSet::new());
        while !(1..20).all(|job| received.contains(&job)) {
            received.extend(take(&queue, &mut consumer).await);
        }
        // Whoever shares the connection has not noticed.
        queue.publish(&b, vec![message(300)]).await.remove(0).unwrap();
        let delivered = timeout(BOUND, other.next(1, Duration::ZERO)).await.unwrap().unwrap().unwrap();
        assert_eq!(delivered[0].message().unwrap().job.0, 300);
    });
}

/// Its connection stands, and the broker does not get round to closing it.
fn a_lasting_channel(world: &mut World) {
    let vhost = world.broker.vhost();
    let (answer_timeout, silence) = (Duration::from_millis(500), Duration::from_secs(1));
    let queue = world.queue(Options { answer_timeout, silence, ..options(&vhost) });
    let on_channels = |what: &str| {
        let name = format!("rabbit_misc:r(<<\"{}\">>, queue, <<\"n2s.work.a\">>)", vhost.name);
        let all = format!("{{ok, Q}} = rabbit_amqqueue:lookup({name}), C = rabbit_amqqueue:consumers(Q)");
        world.broker.ctl(&["eval", &format!("{all}, [{what} || P <- [element(1, E) || E <- C]].")])
    };
    world.runtime.block_on(async {
        let mut other = queue.consume(&"b".parse().unwrap(), 10).await.unwrap();
        let mut consumer = queue.consume(&backend(), 10).await.unwrap();
        assert_eq!(publish(&queue, 0..5).await.len(), 5);
        let held = consumer.next(1, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(on_channels("sys:suspend(P)").trim(), "[ok]");
        drop((consumer, held));
        ends(&mut other).await;
        // The broker would wait for it for half a minute.
        on_channels("exit(P, kill)");
        let (mut consumer, mut received) = (None, BTreeSet::new());
        while !(0..5).all(|job| received.contains(&job)) {
            received.extend(take(&queue, &mut consumer).await);
        }
    });
}
