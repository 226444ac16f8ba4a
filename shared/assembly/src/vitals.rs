//! What a running role knows of itself: whether it could do its work at this moment, and if not, why.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use n2s_worker::Attendance;

use crate::station::Station;

/// How long the catalog is waited for before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module. The parts write it, the health listener reads it.
#[derive(Debug, Default)]
pub(crate) struct Vitals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the station is not open yet.
    closed: String,
    station: Option<Arc<Station>>,
    worker: Option<Attendance>,
    /// Whether this process stands for offices.
    stands: bool,
    /// Whether it can see who holds them; `None` when it has not looked yet.
    election: Option<Result<(), String>>,
    ending: bool,
}

impl Vitals {
    /// What it works with cannot be had yet; says whether that is news.
    pub(crate) fn closed(&self, why: String) -> bool {
        std::mem::replace(&mut self.lock().closed, why).is_empty()
    }

    /// It can be had.
    pub(crate) fn opened(&self, station: &Arc<Station>) {
        self.lock().station = Some(Arc::clone(station));
    }

    /// A worker has begun.
    pub(crate) fn works(&self, worker: Attendance) {
        self.lock().worker = Some(worker);
    }

    /// It stands for offices.
    pub(crate) fn stands(&self) {
        self.lock().stands = true;
    }

    /// Whether it is known who holds the offices; says whether that is news.
    pub(crate) fn elects(&self, seen: Result<(), String>) -> bool {
        let changed = |former: &Result<(), String>| former.is_ok() != seen.is_ok();
        let mut state = self.lock();
        let news = state.election.as_ref().is_none_or(changed);
        state.election = Some(seen);
        news
    }

    /// It was asked to end.
    pub(crate) fn ends(&self) {
        self.lock().ending = true;
    }

    /// Everything that keeps it from its work, a line for each; empty when it is ready.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let (station, worker, election) = {
            let state = self.lock();
            if state.ending {
                return vec!["it is going down".to_owned()];
            }
            let Some(station) = &state.station else {
                let why = if state.closed.is_empty() { "it is starting" } else { &state.closed };
                return vec![why.to_owned()];
            };
            let unseen = || Err("who dispatches has not been seen yet".to_owned());
            let election = state.stands.then(|| state.election.clone().unwrap_or_else(unseen));
            (Arc::clone(station), state.worker.clone(), election)
        };
        let mut troubles = Vec::new();
        troubles.extend(catalog(&station).await);
        troubles.extend(station.queue_trouble());
        troubles.extend(worker.map(|worker| worker.absences()).unwrap_or_default());
        troubles.extend(election.and_then(Result::err));
        troubles
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// Asked on a task of its own: a database call is not cut short because whoever asked has gone away.
async fn catalog(station: &Station) -> Option<String> {
    let catalog = Arc::clone(&station.catalog);
    let asked = tokio::spawn(async move { catalog.catalog_id().await });
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Ok(_))) => None,
        Ok(Ok(Err(error))) => Some(n2s_telemetry::report(&error)),
        Ok(Err(_)) | Err(_) => Some(format!("the catalog does not answer within {PATIENCE:?}")),
    }
}
