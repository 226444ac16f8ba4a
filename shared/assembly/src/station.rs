//! What every role works with: a catalog, stores, a staging, and the way to a queue. No keys: whoever needs those has a [`Node`](crate::Node).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use n2s_catalog::{BackendRecord, Catalog};
use n2s_catalog_postgres::PostgresOptions;
use n2s_config::{BackendConfig, Config};
use n2s_domain::{BackendName, Clock, Entropy, SystemEntropy};
use n2s_queue::Bell;
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_storage::Staging;
use n2s_worker::StoreDeps;

use crate::catalog::Login;
use crate::error::AssemblyError;
use crate::home::Home;
use crate::{backend, catalog, queue};

/// See the module.
#[derive(Debug)]
pub(crate) struct Station {
    pub catalog: Arc<dyn Catalog>,
    /// The same, for dispatcher, folder and sweeper.
    pub engine: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub staging: Staging,
    pub stores: Vec<StoreDeps>,
    /// To be rung after rows were written that somebody in this process should look at.
    pub bell: Bell,
    /// Sealed bytes above which staging keeps only what no store has.
    pub staging_high_water: u64,
    /// How long a worker may go on after it was asked to stop.
    pub grace: Duration,
    /// How long a worker's claim lives without a sign of it.
    pub lease: Duration,
    /// How long a message may stay unclaimed.
    pub unclaimed: Duration,
    /// How to reach the catalog's server, if it is on one.
    pub server: Option<PostgresOptions>,
    /// How to reach the broker, if the queue is one.
    pub broker: Option<Options>,
    /// The broker's queue, while something in this process uses it.
    queue: Mutex<Option<Arc<RabbitQueue>>>,
}

impl Station {
    /// Opens what the settings name. Makes and changes nothing for [`Login::Worker`], which may be told [`AssemblyError::NotYet`].
    pub(crate) async fn open(home: &Home, config: &Config, login: Login) -> Result<Self, AssemblyError> {
        let broker = queue::broker(&config.queue)?;
        let clock: Arc<dyn Clock> = n2s_failpoints::clock();
        let catalog = catalog::open(home, config, (&clock, login)).await?;
        let rows = rows(&*catalog, config, login).await?;
        let stores = rows.into_iter().zip(&config.backends).map(store);
        Ok(Self {
            stores: stores.collect::<Result<_, _>>()?,
            engine: catalog::engine(config, &catalog).await?,
            catalog,
            clock,
            entropy: Arc::new(SystemEntropy),
            staging: backend::open_staging(home, config)?,
            bell: Bell::new(),
            staging_high_water: config.staging.high_water_mib.saturating_mul(1 << 20),
            grace: Duration::from_secs(config.worker.grace_secs),
            lease: Duration::from_secs(config.worker.lease_secs),
            unclaimed: Duration::from_secs(config.queue.unclaimed_secs),
            server: catalog::server(&config.database)?,
            broker,
            queue: Mutex::new(None),
        })
    }

    /// The server, where catalog and queue are shared and so each role may be a process of its own.
    pub(crate) fn fleet(&self) -> Option<&PostgresOptions> {
        self.server.as_ref().filter(|_| self.broker.is_some())
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Option<Arc<RabbitQueue>>> {
        self.queue.lock().expect("nobody panics while holding it")
    }
}

/// A row for each configured store, in that order.
async fn rows(
    catalog: &dyn Catalog,
    config: &Config,
    login: Login,
) -> Result<Vec<BackendRecord>, AssemblyError> {
    if login == Login::Member {
        let named = config.backends.iter();
        let named: Vec<_> =
            named.map(|(name, store)| (name.clone(), store.kind.as_str().to_owned())).collect();
        return Ok(catalog.ensure_backends(&named).await?);
    }
    let known = catalog.backends().await?;
    let row = |name: &BackendName| known.iter().map(|(row, _)| row).find(|row| row.name == *name).cloned();
    let rows: Option<Vec<_>> = config.backends.keys().map(row).collect();
    rows.ok_or(AssemblyError::NotYet("all of its stores"))
}

fn store(
    (row, (name, config)): (BackendRecord, (&BackendName, &BackendConfig)),
) -> Result<StoreDeps, AssemblyError> {
    Ok(StoreDeps {
        id: row.id,
        name: name.clone(),
        kind: row.kind,
        storage: backend::open(name, config)?,
        retry: backend::retry(config),
        concurrency: config.concurrency(),
        batch: backend::batch(config),
    })
}
