//! The parts of a fleet, in as many processes as one likes: dispatching, which is elected office by office, and working, which is not elected at all.
//!
//! Rejected: one seat for everything, as in a home, where a worker could only be the process that also dispatches.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::offices::Candidate;
use crate::parts::{Work, worker};
use crate::queue;
use crate::station::Station;
use crate::vitals::Vitals;

/// What this process does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    /// Stands for dispatcher, sweeper and folder.
    pub dispatch: bool,
    /// Takes jobs.
    pub work: Option<Work>,
}

/// Runs the roles until `stop`, and returns when everything in hand is done or handed back.
pub(crate) async fn run(station: Arc<Station>, roles: Roles, vitals: Arc<Vitals>, stop: CancellationToken) {
    let queue = match queue::start(&station, roles.dispatch) {
        Ok(queue) => queue,
        Err(error) => {
            tracing::error!(%error, "there is no queue");
            return;
        }
    };
    vitals.opened(&station);
    let mut parts = JoinSet::new();
    if let (true, Some(options)) = (roles.dispatch, station.fleet().cloned()) {
        vitals.stands();
        let (station, queue, vitals) = (Arc::clone(&station), Arc::clone(&queue), Arc::clone(&vitals));
        parts.spawn(Candidate { station, queue, options, vitals }.stand(stop.clone()));
    }
    if let Some(work) = &roles.work {
        let worker = worker(&station, queue, work);
        vitals.works(worker.attendance());
        parts.spawn(worker.run(stop.clone()));
    }
    while parts.join_next().await.is_some() {}
    station.close_queue().await;
}
