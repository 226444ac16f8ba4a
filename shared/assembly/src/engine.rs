//! The engine of a catalog: dispatcher, folder, sweeper and worker, run by the one process that holds its [`Seat`].

use std::sync::Arc;
use std::time::Duration;

use n2s_dispatcher::{
    Dispatcher, DispatcherDeps, DispatcherSettings, Folder, Sweeper, SweeperDeps, SweeperSettings,
};
use n2s_worker::{Worker, WorkerDeps, WorkerSettings};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::AssemblyError;
use crate::node::Node;
use crate::queue;
use crate::seat::Seat;

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
    /// Starts: runs if the catalog's seat is free, otherwise watches and takes over when it becomes so.
    pub async fn start(node: &Arc<Node>) -> Result<Self, AssemblyError> {
        let stop = CancellationToken::new();
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
            work(&node, &round).await;
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
async fn work(node: &Arc<Node>, stop: &CancellationToken) {
    let staging_high_water = node.config.staging.high_water_mib.saturating_mul(1 << 20);
    let settings = SweeperSettings { staging_high_water, ..SweeperSettings::default() };
    let sweeper = Sweeper::new(sweeper_deps(node), settings);
    if let Err(error) = sweeper.take_over().await {
        tracing::error!(error = %n2s_telemetry::report(&error), "the engine could not take over its jobs");
        return;
    }
    let mut parts = JoinSet::new();
    let queue = match queue::start(node, &mut parts, stop) {
        Ok(queue) => queue,
        Err(error) => {
            tracing::error!(%error, "the engine has no queue");
            return;
        }
    };
    parts.spawn(sweeper.run(stop.clone()));
    parts.spawn(Folder::new(Arc::clone(&node.catalog), node.bell.clone()).run(stop.clone()));
    let deps = DispatcherDeps {
        catalog: Arc::clone(&node.catalog),
        queue: Arc::clone(&queue),
        bell: node.bell.clone(),
        backends: node.stores.iter().map(|store| (store.id, store.name.clone())).collect(),
    };
    parts.spawn(Dispatcher::new(deps, DispatcherSettings::default()).run(stop.clone()));
    let deps = WorkerDeps {
        catalog: Arc::clone(&node.catalog),
        queue,
        staging: node.staging.clone(),
        bell: node.bell.clone(),
        clock: Arc::clone(&node.clock),
        entropy: Arc::clone(&node.entropy),
        stores: node.stores.clone(),
    };
    let mut settings = WorkerSettings::new(format!("embedded-{}", std::process::id()));
    // A push in the same process holds as much again.
    settings.bytes_max = 32 << 20;
    parts.spawn(Worker::new(deps, settings).run(stop.clone()));
    while parts.join_next().await.is_some() {}
    node.close_queue().await;
}

fn sweeper_deps(node: &Node) -> SweeperDeps {
    SweeperDeps {
        catalog: Arc::clone(&node.catalog),
        staging: node.staging.clone(),
        bell: node.bell.clone(),
        clock: Arc::clone(&node.clock),
    }
}
