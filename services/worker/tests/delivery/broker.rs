//! What happens to rows when a broker forgets, gives up on a message, or takes none. The broker is played by a set of marks, or by a gate.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use n2s_catalog::{Pick, Ticket};
use n2s_dispatcher::{Dispatcher, DispatcherDeps, DispatcherSettings, PoisonDesk, WipeWatch};
use n2s_domain::BackendName;
use n2s_queue::{
    Consumer, Memory, Message, PoisonHandler as _, Poisoned, Queue, QueueError, QueueErrorKind, Remembers,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{World, name};

#[derive(Debug, Default)]
struct Marks {
    left: Mutex<HashSet<String>>,
    refuses: Mutex<bool>,
}

#[async_trait]
impl Memory for Marks {
    async fn recall(&self, mark: &str) -> anyhow::Result<Remembers> {
        Ok(if self.left.lock().unwrap().contains(mark) { Remembers::All } else { Remembers::Nothing })
    }

    async fn leave(&self, mark: &str) -> anyhow::Result<()> {
        anyhow::ensure!(!*self.refuses.lock().unwrap(), "cut off");
        self.left.lock().unwrap().insert(mark.to_owned());
        Ok(())
    }
}

/// Queues every due job of the first store.
async fn dispatch(world: &World) -> Vec<Ticket> {
    let groups = world.catalog.due_groups(world.ids[0], 100).await.unwrap();
    let picks: Vec<_> =
        groups.iter().map(|group| Pick { changeset: group.changeset, limit: group.due }).collect();
    world.catalog.dispatch(world.ids[0], &picks, Duration::from_mins(5)).await.unwrap()
}

async fn queued(world: &World) -> u64 {
    world.catalog.in_window(world.ids[0]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_broker_is_noticed_and_what_was_queued_is_due_again() {
    let (world, marks) = (World::new().await, Arc::new(Marks::default()));
    world.push("d", 3).await;
    let watch = WipeWatch::new(world.catalog.clone(), Arc::clone(&marks) as _, world.bell.clone());
    assert_eq!(watch.look().await.unwrap(), Remembers::Nothing);
    assert_eq!(dispatch(&world).await.len(), 3);
    assert_eq!(watch.look().await.unwrap(), Remembers::All);
    assert_eq!(queued(&world).await, 3, "a broker that remembers was taken for a wiped one");
    marks.left.lock().unwrap().clear();
    // Cut off in the middle: the mark must not be there before the rows are back.
    *marks.refuses.lock().unwrap() = true;
    watch.look().await.unwrap_err();
    assert_eq!(queued(&world).await, 0);
    *marks.refuses.lock().unwrap() = false;
    assert_eq!(dispatch(&world).await.len(), 3);
    assert_eq!(watch.look().await.unwrap(), Remembers::Nothing);
    assert_eq!((queued(&world).await, dispatch(&world).await.len()), (0, 3));
    assert_eq!(watch.look().await.unwrap(), Remembers::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_message_makes_its_job_due_again_and_a_stale_one_changes_nothing() {
    let world = World::new().await;
    world.push("d", 2).await;
    let tickets = dispatch(&world).await;
    let desk = PoisonDesk::new(world.catalog.clone(), world.bell.clone());
    let message = |dispatch_seq| Message { job: tickets[0].job, dispatch_seq, traceparent: None };
    let poisoned = |message| {
        let (backend, reason) = ("disk0".to_owned(), "delivery_limit".to_owned());
        desk.poisoned(Poisoned { backend, message, reason })
    };
    poisoned(Message::decode(b"not ours")).await.unwrap();
    poisoned(Ok(message(tickets[0].dispatch_seq + 1))).await.unwrap();
    assert_eq!(queued(&world).await, 2);
    poisoned(Ok(message(tickets[0].dispatch_seq))).await.unwrap();
    assert_eq!(queued(&world).await, 1);
    assert_eq!(dispatch(&world).await, [Ticket { dispatch_seq: 2, ..tickets[0] }]);
}

/// Says when it was asked for the first time, and refuses everything once it is let.
#[derive(Debug)]
struct Refusing {
    asked: Semaphore,
    answers: Semaphore,
}

#[async_trait]
impl Queue for Refusing {
    async fn publish(&self, backend: &BackendName, messages: Vec<Message>) -> Vec<Result<(), QueueError>> {
        self.asked.add_permits(1);
        drop(self.answers.acquire().await.unwrap());
        let refusal = || QueueError {
            kind: QueueErrorKind::Full,
            op: "publish",
            backend: backend.clone(),
            source: anyhow::anyhow!("full"),
        };
        messages.iter().map(|_| Err(refusal())).collect()
    }

    async fn consume(&self, _: &BackendName, _: usize) -> Result<Box<dyn Consumer>, QueueError> {
        unreachable!("a dispatcher consumes nothing")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_is_to_end_waits_for_what_it_sends_and_takes_back_what_is_refused() {
    let world = World::new().await;
    let queue = Arc::new(Refusing { asked: Semaphore::new(0), answers: Semaphore::new(0) });
    let dispatcher = Dispatcher::new(
        DispatcherDeps {
            catalog: world.catalog.clone(),
            queue: Arc::clone(&queue) as _,
            bell: world.bell.clone(),
            backends: vec![(world.ids[0], name(0))],
        },
        DispatcherSettings::default(),
    );
    world.push("d", 3).await;
    let shutdown = CancellationToken::new();
    let mut running = tokio::spawn(dispatcher.run(shutdown.clone()));
    queue.asked.acquire().await.unwrap().forget();
    shutdown.cancel();
    assert_eq!(queued(&world).await, 3);
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut running).await;
    assert!(ended.is_err(), "it left what it had marked");
    queue.answers.add_permits(1);
    running.await.unwrap();
    assert_eq!(queued(&world).await, 0, "marked, and told of to nobody");
}
