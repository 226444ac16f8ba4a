//! One role of a fleet as a process: it waits for what it works with, works until it is told to stop, and says how it is meanwhile.
//!
//! A database or broker that is away is waited for, since everything of a fleet is started at once and none of it first. What waiting does not put
//! right (settings, a schema of another version, another's staging) ends the process, and says what to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::CatalogError;
use n2s_config::Config;
use n2s_domain::BackendName;
use n2s_validator::Validator;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::catalog::Login;
use crate::check::check;
use crate::error::AssemblyError;
use crate::fleet::{self, Roles};
use crate::health::Health;
use crate::home::Home;
use crate::node::load;
use crate::parts::Work;
use crate::station::Station;
use crate::validation;
use crate::vitals::Vitals;

/// Between two looks whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The pause after the first failure to open the catalog; it doubles.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A role that a process can have to itself; intake is an API over a [`Node`](crate::Node).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Dispatches, sweeps and folds, as far as nobody else does.
    Dispatcher,
    /// Takes jobs to stores: to these, or to all when none is named.
    Worker(Vec<BackendName>),
    /// Proves what the stores hold.
    Validator,
}

/// A running role.
#[derive(Debug)]
pub struct Service {
    stop: CancellationToken,
    task: JoinHandle<Result<(), AssemblyError>>,
    vitals: Arc<Vitals>,
    health: Option<Health>,
}

impl Service {
    /// Whether the home's catalog is one that a validator can share with other machines.
    pub fn is_for(home: &Home) -> Result<bool, AssemblyError> {
        Ok(load(home)?.database.url.is_some())
    }

    /// Starts a role, and its health listener at `health` or where the settings say. What can be found wrong without asking anybody is refused here.
    pub async fn start(home: Home, role: Role, health: Option<String>) -> Result<Self, AssemblyError> {
        let config = load(&home)?;
        check(&home, &config)?;
        fit(&home, &config, &role)?;
        let vitals = Arc::new(Vitals::default());
        let listen = health.or_else(|| config.health.listen.clone());
        let health = match listen {
            Some(listen) => Some(Health::start(&listen, Arc::clone(&vitals)).await?),
            None => None,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(home, config, role, (Arc::clone(&vitals), stop.clone())));
        Ok(Self { stop, task, vitals, health })
    }

    /// Where its health can be asked.
    pub fn health(&self) -> Option<SocketAddr> {
        self.health.as_ref().map(|health| health.address)
    }

    /// Waits until it does its work, or has ended because it never will.
    pub async fn ready(&mut self) -> Result<(), AssemblyError> {
        while !self.vitals.troubles().await.is_empty() {
            if self.task.is_finished() {
                return self.ended().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits for an end nobody asked for.
    pub async fn ended(&mut self) -> Result<(), AssemblyError> {
        // A panic has been logged by the runtime.
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Takes no more work, finishes or hands back what is in hand, and ends.
    pub async fn stop(self) -> Result<(), AssemblyError> {
        self.vitals.ends();
        self.stop.cancel();
        let ended = self.task.await.unwrap_or(Ok(()));
        if let Some(health) = self.health {
            health.stop().await;
        }
        ended
    }
}

/// Refuses what no waiting makes right.
fn fit(home: &Home, config: &Config, role: &Role) -> Result<(), AssemblyError> {
    let (name, needs_queue) = match role {
        Role::Dispatcher => ("dispatcher", true),
        Role::Worker(_) => ("worker", true),
        Role::Validator => ("validator", false),
    };
    let (database, queue) = (config.database.url.is_some(), config.queue.url.is_some() || !needs_queue);
    let missing = match (database, queue) {
        (true, true) => None,
        (false, true) => Some("set [database] url to a PostgreSQL server"),
        (true, false) => Some("set [queue] url to a RabbitMQ broker"),
        (false, false) => {
            Some("set [database] url to a PostgreSQL server and [queue] url to a RabbitMQ broker")
        }
    };
    if let Some(missing) = missing {
        return Err(AssemblyError::NoFleet { role: name, missing });
    }
    if config.backends.is_empty() {
        return Err(AssemblyError::NoStores(home.config()));
    }
    if *role == Role::Validator && validation::settings(&config.validator).is_none() {
        return Err(AssemblyError::ValidatorOff);
    }
    let Role::Worker(only) = role else { return Ok(()) };
    match only.iter().find(|name| !config.backends.contains_key(name)) {
        None => Ok(()),
        Some(unknown) => {
            let known: Vec<_> = config.backends.keys().map(ToString::to_string).collect();
            let hint = format!("; there are: {}", known.join(", "));
            Err(CatalogError::Unknown { what: "backend", name: unknown.to_string(), hint }.into())
        }
    }
}

async fn run(
    home: Home,
    config: Config,
    role: Role,
    (vitals, stop): (Arc<Vitals>, CancellationToken),
) -> Result<(), AssemblyError> {
    let login = if matches!(role, Role::Worker(_)) { Login::Worker } else { Login::Member };
    let Some(station) = open(&home, &config, login, (&vitals, &stop)).await? else { return Ok(()) };
    let station = Arc::new(station);
    let roles = match role {
        Role::Dispatcher => Roles { dispatch: true, work: None },
        Role::Worker(only) => Roles { dispatch: false, work: Some(Work { only, shares_memory: false }) },
        Role::Validator => {
            vitals.opened(&station);
            if let Some(settings) = validation::settings(&config.validator) {
                Validator::new(station.validator(), settings).run(stop).await;
            }
            return Ok(());
        }
    };
    fleet::run(station, roles, vitals, stop).await;
    Ok(())
}

/// Opens the station, however long that takes; `None` when it was told to stop first.
async fn open(
    home: &Home,
    config: &Config,
    login: Login,
    (vitals, stop): (&Vitals, &CancellationToken),
) -> Result<Option<Station>, AssemblyError> {
    let mut pause = PAUSE;
    while !stop.is_cancelled() {
        match Station::open(home, config, login).await {
            Ok(station) => return Ok(Some(station)),
            Err(error) if may_pass(&error) => {
                let why = n2s_telemetry::report(&error);
                if vitals.closed(why.clone()) {
                    tracing::warn!(error = why, "waiting for the catalog");
                }
            }
            Err(error) => return Err(error),
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(None)
}

/// Whether waiting may put it right.
pub(crate) fn may_pass(error: &AssemblyError) -> bool {
    use CatalogError::{Away, Database};
    matches!(error, AssemblyError::NotYet(_) | AssemblyError::Catalog(Away { .. } | Database { .. }))
}
