//! One store's lane: permits first, then deliveries, one claim for the batch, the acks, then the work.
//!
//! A delivery is acked as soon as its claim is committed, so no broker's patience limits how long an upload may take. The
//! permits come first, so that messages are never hoarded here while another worker is idle.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::{Claim, ClaimRef, ClaimTarget, Finish, LeaseTerms, Outcome, Ticket};
use n2s_domain::limits::{CLAIM_BATCH_MAX, CLAIM_GATHER, CLAIM_GATHER_BUSY};
use n2s_failpoints::{Point, failpoint};
use n2s_queue::{Consumer, Delivery};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::{SURROUNDINGS_PAUSE, report};
use crate::health::Slots;
use crate::ledger::Batch;
use crate::manifests;
use crate::store::{Shared, Store};
use crate::traces::Traces;
use crate::uploads::upload;
use crate::verdicts::outcomes;

/// How long a lane waits after its queue or the catalog failed.
const RECOVERY: Duration = Duration::from_millis(250);

/// How long a job that must run alone waits for another such job.
const ALONE_WAIT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub shared: Arc<Shared>,
    pub store: Arc<Store>,
    pub outcomes: mpsc::Sender<Finish>,
}

/// A consumer, and the prefetch it was made with.
struct Subscription {
    consumer: Box<dyn Consumer>,
    prefetch: usize,
}

/// What a lane got for its permits.
struct Taken {
    deliveries: Vec<Delivery>,
    /// Whether the queue had as many as there were permits, so that it may have more.
    bound: bool,
}

/// No more than the permits; in powers of two below a claim's most, so that a limit that moves a little makes no new consumer.
fn prefetch(permits: usize) -> usize {
    if permits >= CLAIM_BATCH_MAX { CLAIM_BATCH_MAX } else { 1 << permits.max(1).ilog2() }
}

impl Lane {
    /// Works until `shutdown`, then finishes or hands back what it holds within the grace period.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let hard = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut consumer: Option<Subscription> = None;
        while let Some(taken) = self.deliveries(&mut consumer, &shutdown).await {
            self.take(taken, &mut tasks, &hard).await;
            while let Some(ended) = tasks.try_join_next() {
                note(ended);
            }
        }
        drop(consumer);
        let grace = self.shared.settings.grace;
        if tokio::time::timeout(grace, drain(&mut tasks)).await.is_err() {
            hard.cancel();
            drain(&mut tasks).await;
        }
    }

    /// Waits for free slots, then for deliveries to fill them. `None` at shutdown.
    async fn deliveries(
        &self,
        consumer: &mut Option<Subscription>,
        shutdown: &CancellationToken,
    ) -> Option<Taken> {
        loop {
            let Some(free) = shutdown.run_until_cancelled(self.store.health.free()).await? else {
                // What it has prefetched would wait here for minutes, while another worker may reach the store.
                *consumer = None;
                shutdown.run_until_cancelled(self.store.health.open_again()).await?;
                continue;
            };
            let name = &self.store.deps.name;
            let prefetch = prefetch(self.store.health.permits());
            // What the old one had prefetched goes back, to whoever has permits for it.
            consumer.take_if(|open| open.prefetch != prefetch);
            if consumer.is_none() {
                let consume = self.shared.deps.queue.consume(name, prefetch);
                match shutdown.run_until_cancelled(consume).await? {
                    Ok(made) => {
                        if self.store.hearing.gained() {
                            tracing::info!(backend.name = %name, "consuming");
                        }
                        *consumer = Some(Subscription { consumer: made, prefetch });
                    }
                    Err(error) => self.deaf(&report(&error)),
                }
            }
            if let Some(open) = consumer.as_mut() {
                // The queue gives no more than the prefetch before something of it is acked: more is not waited for.
                let free = free.min(prefetch);
                let next = open.consumer.next(free, CLAIM_GATHER);
                match shutdown.run_until_cancelled(next).await? {
                    Some(Ok(deliveries)) => {
                        let more = self.more(open, deliveries, free);
                        let deliveries = shutdown.run_until_cancelled(more).await?;
                        let bound = deliveries.len() >= free;
                        return Some(Taken { deliveries, bound });
                    }
                    Some(Err(error)) => self.deaf(&report(&error)),
                    None => self.deaf("it was closed"),
                }
                *consumer = None;
            }
            shutdown.run_until_cancelled(tokio::time::sleep(RECOVERY)).await?;
        }
    }

    /// Gathers longer while the store has other work. Whether it has is asked when the first delivery has come: asked before, a job that
    /// comes alone, long after the last one, would wait for company.
    async fn more(
        &self,
        open: &mut Subscription,
        mut deliveries: Vec<Delivery>,
        free: usize,
    ) -> Vec<Delivery> {
        let room = free.saturating_sub(deliveries.len());
        if room > 0 && !self.store.health.is_idle() {
            let next = open.consumer.next(room, CLAIM_GATHER_BUSY);
            // An error shows again in the next call.
            if let Ok(Some(Ok(more))) = tokio::time::timeout(CLAIM_GATHER_BUSY, next).await {
                deliveries.extend(more);
            }
        }
        deliveries
    }

    /// Notes that nothing is heard of the queue, and why. An outage is told of once, however long it lasts.
    fn deaf(&self, why: &str) {
        let name = &self.store.deps.name;
        if self.store.hearing.lost(why.to_owned()) {
            tracing::warn!(backend.name = %name, error = why, "the queue failed");
        } else {
            tracing::debug!(backend.name = %name, error = why, "the queue still fails");
        }
    }

    /// Claims, acks, and starts the work.
    async fn take(
        &self,
        Taken { deliveries, bound }: Taken,
        tasks: &mut JoinSet<()>,
        hard: &CancellationToken,
    ) {
        let (mut tickets, mut named) = (HashSet::new(), HashMap::new());
        for delivery in &deliveries {
            match delivery.message() {
                Ok(message) => {
                    tickets.insert(Ticket { job: message.job, dispatch_seq: message.dispatch_seq });
                    named.extend(message.traceparent.map(|trace| (message.job, trace)));
                }
                // Acked with the rest: if a job was meant, its deadline brings it back.
                Err(error) => tracing::warn!(backend.name = %self.store.deps.name, %error, "thrown away"),
            }
        }
        let tickets: Vec<Ticket> = tickets.into_iter().collect();
        let settings = &self.shared.settings;
        let (worker, lease, held_max) = (settings.name.clone(), settings.lease, settings.held_max);
        let terms = LeaseTerms { worker, lease, held_max };
        let asked = Instant::now();
        let claims = match self.shared.catalog().claim(self.store.deps.id, &tickets, &terms).await {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(backend.name = %self.store.deps.name, error = report(&error), "not claimed");
                drop(deliveries);
                return tokio::time::sleep(RECOVERY).await;
            }
        };
        let held: Vec<_> = groups(claims, self.store.deps.batch.min(self.store.health.limit()))
            .map(|some| {
                let mut batch = self.shared.ledger.hold(&some, hard.child_token());
                batch.traces = Traces::begin(&some, &named, &self.store.deps.name);
                (batch, some)
            })
            .collect();
        failpoint(Point::Leased);
        for delivery in deliveries {
            if let Err(error) = delivery.ack().await {
                tracing::debug!(error = report(&error), "not acked; it comes again and is stale then");
            }
        }
        failpoint(Point::Acked);
        self.store.health.claimed_in(asked.elapsed());
        let claimed = held.iter().map(|(_, some)| some.len()).sum::<usize>();
        self.store.meters.claimed.add(claimed as u64);
        self.store.meters.stale.add(tickets.len().saturating_sub(claimed) as u64);
        if claimed < tickets.len() {
            tracing::debug!(stale = tickets.len() - claimed, "stale messages");
        }
        if claimed > 0 {
            let mut slots = self.store.health.occupy(claimed, bound);
            for (batch, some) in held {
                let slots = slots.take(some.len());
                tasks.spawn(self.clone().work(some, batch, slots, hard.clone()));
            }
        }
    }

    async fn work(self, claims: Vec<Claim>, batch: Batch, mut slots: Slots, hard: CancellationToken) {
        let claims: HashMap<ClaimRef, Claim> = claims.into_iter().map(|claim| (claim.claim, claim)).collect();
        if batch.unless_stopped(slots.begin()).await == Some(true) {
            let (alone, together): (Vec<&Claim>, Vec<&Claim>) =
                claims.values().partition(|claim| claim.alone);
            if !together.is_empty() {
                let guard = batch.unless_stopped(self.store.alone.read()).await;
                self.attempt(&claims, &together, &batch, &hard).await;
                drop(guard);
            }
            for claim in alone {
                if !self.alone(&claims, claim, &batch, &hard).await {
                    break;
                }
            }
        }
        // Stopped, or the store is not to be asked any more: somebody else's turn, at nobody's cost.
        let pause = self.store.health.rest().map_or(SURROUNDINGS_PAUSE, |rest| rest.max(SURROUNDINGS_PAUSE));
        let after = if hard.is_cancelled() { Duration::ZERO } else { pause };
        for claim in batch.open() {
            self.submit(
                &batch,
                Finish { claim, outcome: Outcome::Retry { after, charged: false, error: None } },
            )
            .await;
        }
        drop(slots);
    }

    /// A job that workers disappeared with. False where another such job takes long: what is left is given back then, because it
    /// would keep its place here from others.
    async fn alone(
        &self,
        claims: &HashMap<ClaimRef, Claim>,
        claim: &Claim,
        batch: &Batch,
        hard: &CancellationToken,
    ) -> bool {
        let turn = tokio::time::timeout(ALONE_WAIT, self.shared.alone.lock());
        let Some(Ok(_turn)) = batch.unless_stopped(turn).await else { return false };
        let guard = batch.unless_stopped(self.store.alone.write()).await;
        self.attempt(claims, &[claim], batch, hard).await;
        drop(guard);
        true
    }

    async fn attempt(
        &self,
        claims: &HashMap<ClaimRef, Claim>,
        some: &[&Claim],
        batch: &Batch,
        hard: &CancellationToken,
    ) {
        let (shared, store) = (&*self.shared, &*self.store);
        let mut uploads = Vec::new();
        let mut copies = Vec::new();
        for claim in some {
            match &claim.target {
                ClaimTarget::Upload(target) => uploads.push((claim.claim, *target)),
                ClaimTarget::Manifest(target) => copies.push((claim.claim, target)),
            }
        }
        if !uploads.is_empty() {
            let began = store.health.mark();
            let attempted = upload(shared, store, batch, uploads).await;
            for finish in outcomes(shared, store, claims, (began, attempted), hard).await {
                self.submit(batch, finish).await;
            }
        }
        for (claim, target) in copies {
            let began = store.health.mark();
            if let Some(result) = manifests::copy(shared, store, batch, target).await {
                for finish in outcomes(shared, store, claims, (began, vec![(claim, result)]), hard).await {
                    self.submit(batch, finish).await;
                }
            }
        }
    }

    async fn submit(&self, batch: &Batch, finish: Finish) {
        if batch.submit(finish.claim) {
            let result = self.store.meters.finished(&finish.outcome);
            batch.traces.ended(finish.claim, result);
            tracing::debug!(
                job.id = %finish.claim.job, job.epoch = finish.claim.epoch, backend.name = %self.store.deps.name,
                op.result = result, "a job ended"
            );
            // The finisher outlives every lane, so this fails only when it panicked; the lease then lapses.
            drop(self.outcomes.send(finish).await);
        }
    }
}

/// What the store likes to be given at once goes together. The rest does not: one large object would keep the places of small ones
/// that are long done.
fn groups(claims: Vec<Claim>, batch: u32) -> impl Iterator<Item = Vec<Claim>> {
    let mut left = claims.into_iter();
    std::iter::from_fn(move || {
        let some: Vec<Claim> = left.by_ref().take(batch.max(1) as usize).collect();
        (!some.is_empty()).then_some(some)
    })
}

async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        note(ended);
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = report(&error), "a task died; its jobs come back when their leases lapse");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_never_exceeds_the_permits_and_moves_in_steps() {
        for permits in 1..1_000 {
            assert!((1..=permits.min(CLAIM_BATCH_MAX)).contains(&prefetch(permits)), "{permits}");
        }
        let steps: HashSet<_> = (1..1_000).map(prefetch).collect();
        assert_eq!(steps.len(), 10, "{steps:?}");
    }
}
