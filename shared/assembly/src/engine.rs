//! The engine of a catalog: dispatcher, folder, sweeper and worker in one process.
//!
//! Where queue or catalog are the process's own, the one that holds the [`Seat`] runs them all. Where both are shared they are the parts of a fleet,
//! and this process takes its place among the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::AssemblyError;
use crate::fleet::{self, Roles};
use crate::node::Node;
use crate::parts::{Work, dispatcher, folder, sweeper, worker};
use crate::queue;
use crate::seat::Seat;
use crate::station::Station;

/// Between two tries to take over a catalog whose engine runs elsewhere, and between two looks whether ours is still ours.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who runs the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineRole {
    /// This process.
    Runs,
    /// Another; this one watches, ready to take over.
    Watches,
}

/// The engine, or the wish to be it.
#[derive(Debug)]
pub struct Engine {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    role: tokio::sync::watch::Receiver<EngineRole>,
}

impl Engine {
    /// Starts: runs if the catalog's seat is free, otherwise watches and takes over when it becomes so. In a fleet it dispatches what nobody else
    /// does, and works beside the others.
    pub async fn start(node: &Arc<Node>) -> Result<Self, AssemblyError> {
        let work = Some(Work { shares_memory: true, ..Work::default() });
        Self::with(node, Roles { dispatch: true, work }).await
    }

    /// The same for an intake: in a fleet it only dispatches, and workers are processes of their own.
    pub async fn start_for_intake(node: &Arc<Node>) -> Result<Self, AssemblyError> {
        if node.station.fleet().is_none() {
            return Self::start(node).await;
        }
        Self::with(node, Roles { dispatch: true, work: None }).await
    }

    async fn with(node: &Arc<Node>, roles: Roles) -> Result<Self, AssemblyError> {
        let stop = CancellationToken::new();
        if node.station.fleet().is_some() {
            let (_, role) = tokio::sync::watch::channel(EngineRole::Runs);
            let (station, vitals) = (Arc::clone(&node.station), Arc::default());
            let task = tokio::spawn(fleet::run(station, roles, vitals, stop.clone()));
            return Ok(Self { stop, task, role });
        }
        let held = Seat::take(node).await?;
        let role = if held.is_some() { EngineRole::Runs } else { EngineRole::Watches };
        let (tell, role) = tokio::sync::watch::channel(role);
        let task = tokio::spawn(run(Arc::clone(node), held, tell, stop.clone()));
        Ok(Self { stop, task, role })
    }

    /// Who runs it now.
    pub fn role(&self) -> EngineRole {
        *self.role.borrow()
    }

    /// Stops taking work, finishes or hands back what is in hand, and lets go of the seat.
    pub async fn stop(self) {
        self.stop.cancel();
        // A panic of a part has been logged by the runtime; there is nothing left to stop then.
        let _ = self.task.await;
    }
}

async fn run(
    node: Arc<Node>,
    mut held: Option<Seat>,
    tell: tokio::sync::watch::Sender<EngineRole>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        if let Some(seat) = held.take() {
            tell.send_replace(EngineRole::Runs);
            // A seat that was lost ends this round, not the wish.
            let round = stop.child_token();
            let guard = tokio::spawn(guard(seat, round.clone()));
            work(&node.station, &round).await;
            round.cancel();
            if let Ok(seat) = guard.await {
                seat.resign().await;
            }
            tell.send_replace(EngineRole::Watches);
        } else if wait(&stop).await {
            held = Seat::take(&node).await.unwrap_or(None);
        }
    }
}

/// Ends the round when the seat is lost. The look is not cancelled in the middle: a database call must not be.
async fn guard(mut seat: Seat, round: CancellationToken) -> Seat {
    while wait(&round).await {
        if !seat.holds().await {
            tracing::warn!(
                "another process may run the engine now: the connection that held its offices is gone"
            );
            round.cancel();
        }
    }
    seat
}

/// A while; false when it was cut short.
async fn wait(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(LOOK_EVERY) => true,
    }
}

/// One round: takes over what a former engine had in hand, then works until told to stop.
async fn work(station: &Station, stop: &CancellationToken) {
    // Jobs that it takes over are nobody's any more: there is nobody to be heard of first.
    let sweeper = sweeper(station, Duration::ZERO);
    if let Err(error) = sweeper.take_over().await {
        tracing::error!(error = %n2s_telemetry::report(&error), "the engine could not take over its jobs");
        return;
    }
    let queue = match queue::start(station, true) {
        Ok(queue) => queue,
        Err(error) => {
            tracing::error!(%error, "the engine has no queue");
            return;
        }
    };
    let mut parts = JoinSet::new();
    if let Some(watch) = queue::wipe_watch(station) {
        parts.spawn(watch.run(stop.clone()));
    }
    parts.spawn(sweeper.run(stop.clone()));
    parts.spawn(folder(station).run(stop.clone()));
    let stores = station.stores.iter().map(|store| (store.id, store.name.clone())).collect();
    parts.spawn(dispatcher(station, &queue, stores).run(stop.clone()));
    let work = Work { shares_memory: true, ..Work::default() };
    parts.spawn(worker(station, queue, &work).run(stop.clone()));
    while parts.join_next().await.is_some() {}
    station.close_queue().await;
}
