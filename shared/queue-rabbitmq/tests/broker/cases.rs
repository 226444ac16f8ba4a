//! What the queue does with a broker that is well.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use n2s_queue::{Memory as _, PoisonHandler, Poisoned, Queue as _, QueueErrorKind, Remembers, conformance};
use n2s_queue_rabbitmq::{Options, RabbitQueue};

use crate::Case;
use crate::world::{World, backend, message, options, publish, publish_one, take, until};

macro_rules! conforms {
    ($($case:ident),+ $(,)?) => {
        vec![$((concat!("conformance::", stringify!($case)), (|world: &mut World| {
            let vhost = world.broker.vhost();
            // A broker notices that a queue is full a little late: a small window keeps the bound tight.
            let queue = world.queue(Options { length_max: 64, confirm_window: 8, ..options(&vhost) });
            world.runtime.block_on(conformance::$case(queue));
        }) as Case)),+]
    };
}

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = conforms![
        delivers_once_acked,
        keeps_the_message,
        wakes_who_waits,
        keeps_stores_apart,
        the_dropped_comes_back,
        prefetch_bounds_what_is_held,
        max_bounds_a_batch,
        consumers_share,
        refuses_when_full,
    ];
    all.extend([
        ("an_unroutable_message_is_not_published", an_unroutable_message_is_not_published as Case),
        ("what_comes_back_too_often_is_poison", what_comes_back_too_often_is_poison),
        ("a_private_ca_is_trusted_and_an_unknown_one_is_not", a_private_ca),
        ("a_wrong_password_is_refused_and_not_repeated", a_wrong_password),
        ("other_arguments_are_a_misconfiguration", other_arguments),
        ("consumers_come_and_go_on_one_connection", consumers_come_and_go),
    ]);
    all
}

/// The broker confirms it all the same.
fn an_unroutable_message_is_not_published(world: &mut World) {
    let (queue, vhost) = world.open();
    world.runtime.block_on(async {
        publish_one(&queue, 1).await.unwrap();
        world.broker.http("DELETE", &format!("/api/queues/{}/n2s.work.a", vhost.name), "");
        let error = publish_one(&queue, 2).await.unwrap_err();
        assert_eq!(error.kind, QueueErrorKind::Unavailable);
        assert!(format!("{:?}", error.source).contains("312"), "{error:?}");
        // The queue is declared again for the next.
        publish_one(&queue, 3).await.unwrap();
        assert_eq!(take(&queue, &mut None).await, [3]);
    });
}

/// Fails the first time, as a catalog that is down would make it.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Poisoned>>);

#[async_trait]
impl PoisonHandler for Seen {
    async fn poisoned(&self, poisoned: Poisoned) -> anyhow::Result<()> {
        let mut seen = self.0.lock().unwrap();
        seen.push(poisoned);
        anyhow::ensure!(seen.len() > 1, "the catalog is down");
        Ok(())
    }
}

fn what_comes_back_too_often_is_poison(world: &mut World) {
    let vhost = world.broker.vhost();
    let seen = Arc::new(Seen::default());
    let runtime = Arc::clone(&world.runtime);
    runtime.block_on(async {
        let handler = Arc::clone(&seen) as Arc<dyn PoisonHandler>;
        let queue =
            RabbitQueue::start(Options { delivery_limit: 2, ..options(&vhost) }, Some(handler)).unwrap();
        publish_one(&queue, 9).await.unwrap();
        let mut consumer = queue.consume(&backend(), 1).await.unwrap();
        for _ in 0..3 {
            drop(consumer.next(1, Duration::ZERO).await.unwrap().unwrap());
        }
        until("poison, again", || async { seen.0.lock().unwrap().len() == 2 }).await;
        let poisoned = seen.0.lock().unwrap().remove(0);
        assert_eq!(poisoned.message.unwrap(), message(9));
        assert_eq!((poisoned.backend.as_str(), poisoned.reason.as_str()), ("a", "delivery_limit"));
        assert_eq!(publish(&queue, 10..11).await, [10]);
        until("its end", || async {
            let queues = world.broker.ctl(&["list_queues", "-p", &vhost.name, "name", "messages"]);
            queues.lines().any(|line| line == "n2s.poison\t0")
        })
        .await;
    });
}

fn a_private_ca(world: &mut World) {
    let vhost = world.broker.vhost();
    let at = |tls_ca| Options { tls_ca, url: vhost.tls_url.clone().into(), ..options(&vhost) };
    let trusting = world.queue(at(Some(world.broker.ca())));
    let suspicious = world.queue(at(None));
    world.runtime.block_on(async {
        assert_eq!(publish(&trusting, 0..5).await.len(), 5);
        let error = publish_one(&suspicious, 7).await.unwrap_err();
        assert!(format!("{:?}", error.source).to_lowercase().contains("cert"), "{error:?}");
    });
}

fn a_wrong_password(world: &mut World) {
    let vhost = world.broker.vhost();
    let url = vhost.url.replace("guest:guest", "guest:sesame");
    let queue = world.queue(Options { url: url.into(), ..options(&vhost) });
    world.runtime.block_on(async {
        let error = publish_one(&queue, 1).await.unwrap_err();
        assert_eq!(error.kind, QueueErrorKind::Misconfigured, "{error:?}");
        let said = format!("{error} {error:?} {queue:?} {:?} {}", error.source, queue.ready().unwrap_err());
        assert!(!said.contains("sesame"), "{said}");
    });
    let _guard = world.runtime.enter();
    let error = RabbitQueue::start(Options::new("amqp://guest:sesame@host:port/"), None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sesame"));
}

fn other_arguments(world: &mut World) {
    let (queue, vhost) = world.open();
    let other = world.queue(Options { delivery_limit: 7, ..options(&vhost) });
    world.runtime.block_on(async {
        publish_one(&queue, 1).await.unwrap();
        assert_eq!(publish_one(&other, 2).await.unwrap_err().kind, QueueErrorKind::Misconfigured);
        // It is no reason to tear anything down.
        assert_eq!(other.recall("x").await.unwrap(), Remembers::Nothing);
        other.ready().unwrap();
    });
}

/// A goodbye said on a channel that is closed already costs the connection, and with it all that others consume.
fn consumers_come_and_go(world: &mut World) {
    let (queue, _vhost) = world.open();
    let runtime = Arc::clone(&world.runtime);
    runtime.block_on(async {
        let mut staying = queue.consume(&"b".parse().unwrap(), 10).await.unwrap();
        drop(queue.consume(&backend(), 10).await.unwrap());
        let come_and_go = |_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for _ in 0..50 {
                    drop(queue.consume(&backend(), 10).await.unwrap());
                }
            })
        };
        let visitors: Vec<_> = (0..8).map(come_and_go).collect();
        for visitor in visitors {
            visitor.await.unwrap();
        }
        queue.publish(&"b".parse().unwrap(), vec![message(300)]).await.remove(0).unwrap();
        let delivered = staying.next(1, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(delivered[0].message().unwrap().job.0, 300);
    });
}
