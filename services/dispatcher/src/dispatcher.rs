//! Due jobs into the queues: rows first, then messages, and back with what the queue refuses.
//!
//! Each store has its own loop, so that a queue that answers slowly holds up nobody else. The loops look when the bell
//! rings and else at their own pace: a ring is a hint that may come from another process and then never comes at all.
//!
//! What is marked is sent while the next is marked: each of the two waits for a disk, and not for the same one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use n2s_catalog::{Catalog, CatalogError, Pick, Ticket};
use n2s_domain::fairness::shares;
use n2s_domain::{BackendId, BackendName, limits};
use n2s_failpoints::{Point, failpoint};
use n2s_queue::{Bell, Message, Queue, QueueError, QueueErrorKind};
use n2s_telemetry::metrics::families;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::report::report;
use crate::sending::{Sending, insist};
use crate::traces;
use crate::window::{Bounds, Window};

/// What the dispatcher works with.
#[derive(Clone, Debug)]
pub struct DispatcherDeps {
    /// The truth.
    pub catalog: Arc<dyn Catalog>,
    /// The doorbells.
    pub queue: Arc<dyn Queue>,
    /// Rung by whoever makes jobs or finishes them.
    pub bell: Bell,
    /// The stores this process serves.
    pub backends: Vec<(BackendId, BackendName)>,
}

/// Jobs marked and published at once. Workers have the first of them while the next are marked: a window of many thousands that went as one
/// would leave them idle meanwhile, and then have them all at once.
const BATCH_MAX: u32 = 4_096;

/// How long a loop waits after the catalog has not taken back what the queue refused.
const RECOVERY: Duration = Duration::from_secs(1);

/// Bounds; the defaults are meant for everybody.
#[derive(Clone, Copy, Debug)]
pub struct DispatcherSettings {
    /// The longest time between two looks.
    pub poll: Duration,
    /// The shortest.
    pub pause: Duration,
    /// How much work may wait in a queue.
    pub horizon: Duration,
    /// Jobs in a queue, however slow the store seems.
    pub floor: u32,
    /// Jobs in a queue, however fast it is; no more than the queue's own bound.
    pub ceiling: u32,
    /// How long a message may stay unclaimed.
    pub queued_for: Duration,
    /// How long a publish may take before its jobs go back.
    pub publish_timeout: Duration,
}

impl Default for DispatcherSettings {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            pause: Duration::from_millis(10),
            horizon: Duration::from_secs(8),
            floor: 512,
            ceiling: 20_000,
            queued_for: limits::QUEUED_MAX,
            publish_timeout: Duration::from_secs(30),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    deps: DispatcherDeps,
    settings: DispatcherSettings,
}

impl Dispatcher {
    /// A dispatcher that does nothing until [`Self::run`].
    pub fn new(deps: DispatcherDeps, settings: DispatcherSettings) -> Self {
        Self { deps, settings }
    }

    /// Dispatches until `shutdown`; what is queued by then stays queued. Catalog errors are logged and tried again.
    pub async fn run(self, shutdown: CancellationToken) {
        let loops = self.deps.backends.iter().map(|(id, name)| self.serve(*id, name, &shutdown));
        join_all(loops).await;
    }

    async fn serve(&self, id: BackendId, name: &BackendName, shutdown: &CancellationToken) {
        let mut listener = self.deps.bell.listen();
        let mut desk = Desk { id, window: Window::default(), looked_at: Instant::now(), turn: 0 };
        let mut sending = Sending::default();
        let office = families::LEADER.hold(["dispatcher", name.as_str()]);
        office.set(1.0);
        while !shutdown.is_cancelled() {
            // Not raced against the shutdown: a catalog call is never dropped half-way.
            match sending.beside(self.look(&mut desk)).await {
                Ok(tickets) if !tickets.is_empty() => {
                    sending.add(Box::pin(self.send(name, tickets, shutdown)));
                    if sending.room().await {
                        continue;
                    }
                }
                Ok(_none_due) => {}
                Err(error) => {
                    tracing::warn!(backend.name = %name, error = report(&error), "dispatch failed; trying again");
                }
            }
            // Rings may come with every outcome; looking that often would only cost the catalog. With nothing under way they are
            // few, and somebody waits.
            let pause = if desk.window.is_empty() { self.settings.pause / 5 } else { self.settings.pause };
            let pause = desk.looked_at + pause;
            let rest = async {
                shutdown.run_until_cancelled(listener.heard(self.settings.poll)).await;
                tokio::time::sleep_until(pause).await;
            };
            sending.beside(rest).await;
        }
        sending.all().await;
    }

    /// Marks what there is room for, once. What it returns is to be sent.
    async fn look(&self, desk: &mut Desk) -> Result<Vec<Ticket>, CatalogError> {
        let in_flight = self.deps.catalog.in_window(desk.id).await?;
        let elapsed = std::mem::replace(&mut desk.looked_at, Instant::now()).elapsed();
        desk.window.looked(in_flight, elapsed);
        let Self { settings: DispatcherSettings { floor, ceiling, horizon, .. }, .. } = *self;
        let room = desk.window.room(&Bounds { floor, ceiling, horizon }).min(BATCH_MAX);
        if room == 0 {
            return Ok(Vec::new());
        }
        // None while the store is paused or its breaker open: the catalog knows, and answers so.
        let groups = self.deps.catalog.due_groups(desk.id, room).await?;
        desk.turn += 1;
        let picks: Vec<Pick> = (groups.iter().zip(shares(&groups, room, desk.turn)))
            .filter(|(_, limit)| *limit > 0)
            .map(|(group, limit)| Pick { changeset: group.changeset, limit })
            .collect();
        if picks.is_empty() {
            return Ok(Vec::new());
        }
        let tickets = self.deps.catalog.dispatch(desk.id, &picks, self.settings.queued_for).await?;
        desk.window.dispatched(tickets.len() as u64);
        Ok(tickets)
    }

    /// Sends messages, and takes back what the queue refused. True when it took all.
    async fn send(&self, name: &BackendName, tickets: Vec<Ticket>, shutdown: &CancellationToken) -> bool {
        let refused = self.publish(name, &tickets).await;
        failpoint(Point::Published);
        if refused.is_empty() {
            return true;
        }
        tracing::debug!(backend.name = %name, jobs = refused.len(), "the queue refused messages");
        insist(|| self.take_back(name, &refused), RECOVERY, shutdown).await;
        false
    }

    /// Whether the catalog has it. Nobody else knows that the queue has not got these: without it they would wait for their deadlines.
    async fn take_back(&self, name: &BackendName, refused: &[Ticket]) -> bool {
        let done = self.deps.catalog.unpublish(refused).await;
        done.inspect_err(|error| {
            let (jobs, error) = (refused.len(), report(error));
            tracing::warn!(backend.name = %name, jobs, error, "not taken back; else their deadlines do it");
        })
        .is_ok()
    }

    /// Publishes, and returns what did not get into the queue. No transaction is held meanwhile.
    async fn publish(&self, name: &BackendName, tickets: &[Ticket]) -> Vec<Ticket> {
        let (contexts, spans) = traces::follow(self.deps.catalog.as_ref(), tickets, name).await;
        let message = |t: &Ticket| {
            let traceparent = contexts.get(&t.job).copied();
            Message { job: t.job, dispatch_seq: t.dispatch_seq, traceparent }
        };
        let messages = tickets.iter().map(message).collect();
        let publish = self.deps.queue.publish(name, messages);
        let published = tokio::time::timeout(self.settings.publish_timeout, publish).await;
        drop(spans);
        match published {
            Ok(answers) => {
                count(name, &answers);
                let refused = tickets.iter().zip(answers).filter(|(_, answer)| answer.is_err());
                refused.map(|(ticket, _)| *ticket).collect()
            }
            // Some may have arrived: their claims find the row pending, or dispatched anew, and are stale.
            Err(_elapsed) => {
                families::PUBLISHED.with([name.as_str(), "unconfirmed"]).add(tickets.len() as u64);
                tickets.to_vec()
            }
        }
    }
}

/// Counts what became of messages.
fn count(store: &BackendName, answers: &[Result<(), QueueError>]) {
    let refusal = |answer: &Result<(), QueueError>| answer.as_ref().err().map(|error| error.kind);
    let refused = answers.iter().filter_map(refusal);
    let full = refused.clone().filter(|kind| *kind == QueueErrorKind::Full).count();
    let all = refused.count();
    for (result, messages) in
        [("confirmed", answers.len() - all), ("refused", full), ("unconfirmed", all - full)]
    {
        families::PUBLISHED.with([store.as_str(), result]).add(messages as u64);
    }
}

/// One store's loop.
#[derive(Debug)]
struct Desk {
    id: BackendId,
    window: Window,
    looked_at: Instant,
    turn: u64,
}
