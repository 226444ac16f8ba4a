//! Standing for the offices of a fleet, and running what belongs to those this process gets: one dispatcher per store, one sweeper, one folder.
//!
//! Each office is taken by itself, so that several processes may share them, and all on one connection: when that is lost everything that
//! belongs to it ends, since another process may have it by then. Nobody takes jobs over from others here; leases and deadlines bring back what a
//! dead process held, and the living go on.

use std::sync::Arc;
use std::time::Duration;

use n2s_catalog_postgres::{Leadership, Office, PostgresOptions};
use n2s_queue::Queue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::parts::{dispatcher, folder, sweeper};
use crate::queue;
use crate::station::Station;
use crate::vitals::Vitals;

/// Between two looks at who holds what.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest pause before the next attempt to reach the server.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One process's candidacy.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub station: Arc<Station>,
    pub queue: Arc<dyn Queue>,
    pub options: PostgresOptions,
    pub vitals: Arc<Vitals>,
}

impl Candidate {
    /// Stands until `stop`, and ends what it got.
    pub(crate) async fn stand(self, stop: CancellationToken) {
        let mut pause = LOOK_EVERY;
        while !stop.is_cancelled() {
            match Leadership::stand(&self.options).await {
                Ok(leadership) => {
                    pause = LOOK_EVERY;
                    self.spell(leadership, &stop).await;
                }
                Err(error) => self.blind(&error),
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// As long as the connection lasts.
    async fn spell(&self, mut leadership: Leadership, stop: &CancellationToken) {
        let round = stop.child_token();
        let mut parts = JoinSet::new();
        let mut wanted = self.offices();
        loop {
            // Not raced against the stop: a database call is not dropped half-way.
            match leadership.take_free(&wanted).await {
                Ok(taken) => {
                    self.vitals.elects(Ok(()));
                    wanted.retain(|office| !taken.contains(office));
                    for office in taken {
                        self.begin(office, &mut parts, &round);
                    }
                }
                Err(error) => {
                    self.blind(&error);
                    break;
                }
            }
            if !leadership.holds().await {
                tracing::warn!(
                    "others may have this process's offices now: the connection that held them is gone"
                );
                break;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                // One that died leaves its office to whoever stands next.
                Some(_ended) = parts.join_next() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        round.cancel();
        while parts.join_next().await.is_some() {}
        leadership.resign().await;
    }

    fn offices(&self) -> Vec<Office> {
        let dispatchers = self.station.stores.iter().map(|store| Office::Dispatcher(store.id));
        [Office::Sweeper, Office::Folder].into_iter().chain(dispatchers).collect()
    }

    fn begin(&self, office: Office, parts: &mut JoinSet<()>, round: &CancellationToken) {
        tracing::info!(?office, "taken");
        let station = &self.station;
        match office {
            Office::Sweeper => {
                parts.spawn(sweeper(station, station.lease).run(round.clone()));
                if let Some(watch) = queue::wipe_watch(station) {
                    parts.spawn(watch.run(round.clone()));
                }
            }
            Office::Folder => {
                parts.spawn(folder(station).run(round.clone()));
            }
            Office::Dispatcher(id) => {
                let store = station.stores.iter().filter(|store| store.id == id);
                let store = store.map(|store| (store.id, store.name.clone())).collect();
                parts.spawn(dispatcher(station, &self.queue, store).run(round.clone()));
            }
        }
    }

    /// An outage is told of once, however long it lasts.
    fn blind(&self, error: &dyn std::error::Error) {
        let why = n2s_telemetry::report(error);
        if self.vitals.elects(Err(why.clone())) {
            tracing::warn!(error = why, "who dispatches cannot be seen; trying again");
        }
    }
}
