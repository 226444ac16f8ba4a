//! A home, opened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use n2s_catalog::{Catalog, VaultObjects};
use n2s_config::Config;
use n2s_domain::{BackendId, Clock, Entropy, SystemEntropy};
use n2s_envelope::Vault;
use n2s_failpoints::{Point, failpoint};
use n2s_intake::{Intake, IntakeDeps, Stores};
use n2s_queue::Bell;
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_storage::Staging;
use n2s_worker::StoreDeps;

use crate::check::check;
use crate::error::AssemblyError;
use crate::home::Home;
use crate::push_lock::lock_making;
use crate::validation::{Proving, provable};
use crate::{backend, catalog, queue};

/// Everything a command of one machine works with.
#[derive(Debug)]
pub struct Node {
    /// Where it lies.
    pub home: Home,
    /// Its settings.
    pub config: Config,
    /// Its keys.
    pub vault: Arc<Vault>,
    /// Its catalog.
    pub catalog: Arc<dyn Catalog>,
    /// What clients push to and pull from.
    pub intake: Arc<Intake>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// True when this opening made the vault: its root should be backed up.
    pub made_vault: bool,
    pub(crate) staging: Staging,
    pub(crate) stores: Vec<StoreDeps>,
    pub(crate) bell: Bell,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// How to reach the broker, if the queue is one.
    pub(crate) broker: Option<Options>,
    /// The broker's queue, while this process runs the engine.
    pub(crate) queue: Mutex<Option<Arc<RabbitQueue>>>,
}

impl Node {
    /// Opens a home; `NoHome` when it has not been made.
    pub async fn open(home: Home) -> Result<Self, AssemblyError> {
        if !home.exists() {
            return Err(AssemblyError::NoHome(home.root().to_owned()));
        }
        Self::open_or_make(home).await
    }

    /// Opens a home, making it, its vault and a first local store when absent.
    pub async fn open_or_make(home: Home) -> Result<Self, AssemblyError> {
        // A broken configuration is told before anything is made.
        let configured = load(&home)?;
        check(&home, &configured)?;
        home.make()?;
        // Two first commands at once make one vault, one store and one catalog.
        let making = lock_making(&home)?;
        let mut config = if configured.backends.is_empty() { load(&home)? } else { configured };
        let lost = !home.vault().exists() && catalog::knows_vaults(&home, &config.database).await?;
        if lost {
            return Err(AssemblyError::VaultMissing(home.vault()));
        }
        let (vault, made_vault) = open_vault(&home)?;
        failpoint(Point::HomeVault);
        if config.backends.is_empty() {
            let name = "local".parse().expect("it keeps the rules of names");
            backend::add_local_backend(&home, &name, &backend::default_store_path(&home))?;
            config = load(&home)?;
        }
        failpoint(Point::HomeStores);
        let broker = queue::broker(&config.queue)?;
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (n2s_failpoints::clock(), Arc::new(SystemEntropy));
        let catalog = catalog::open(&home, &config, &clock).await?;
        let objects =
            VaultObjects { vault: vault.id(), marker: vault.marker(), epochs: vault.wrapped_epochs() };
        catalog.register_vault(&objects).await?;
        drop(making);
        let stores = stores(&*catalog, &config).await?;
        let staging = backend::open_staging(&home, &config)?;
        let bell = Bell::new();
        let vault = Arc::new(vault);
        let intake =
            intake(&catalog, &staging, &stores, &bell, (&clock, &entropy, &vault, config.push.min_copies));
        Ok(Self {
            vault,
            intake: Arc::new(intake),
            home,
            config,
            catalog,
            clock,
            made_vault,
            staging,
            stores,
            bell,
            entropy,
            broker,
            queue: Mutex::new(None),
        })
    }
}

impl Node {
    /// To be rung after rows were written that the engine should look at.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }
}

/// The settings; variables alone where there is no file.
pub(crate) fn load(home: &Home) -> Result<Config, AssemblyError> {
    let path = home.config();
    let there = path.exists();
    Ok(if there { Config::load(&path) } else { Config::parse(&path, "", std::env::vars_os()) }?)
}

fn open_vault(home: &Home) -> Result<(Vault, bool), AssemblyError> {
    let path = home.vault();
    if path.exists() {
        return Ok((Vault::load(&path)?, false));
    }
    match Vault::create(&SystemEntropy).save_new(&path) {
        // Another process made it at the same moment: its vault counts.
        Ok(()) | Err(n2s_envelope::VaultError::Exists(_)) => Ok((Vault::load(&path)?, true)),
        Err(error) => Err(error.into()),
    }
}

async fn stores(catalog: &dyn Catalog, config: &Config) -> Result<Vec<StoreDeps>, AssemblyError> {
    let named: Vec<_> = config
        .backends
        .iter()
        .map(|(name, backend)| (name.clone(), backend.kind.as_str().to_owned()))
        .collect();
    let rows = catalog.ensure_backends(&named).await?;
    let store = |(row, (name, config)): (
        n2s_catalog::BackendRecord,
        (&n2s_domain::BackendName, &n2s_config::BackendConfig),
    )| {
        Ok(StoreDeps {
            id: row.id,
            name: name.clone(),
            kind: row.kind,
            storage: backend::open(name, config)?,
            retry: backend::retry(config),
            concurrency: config.concurrency(),
            batch: backend::batch(config),
        })
    };
    rows.into_iter().zip(&config.backends).map(store).collect()
}

type Given<'a> = (&'a Arc<dyn Clock>, &'a Arc<dyn Entropy>, &'a Arc<Vault>, Option<u32>);

fn intake(
    catalog: &Arc<dyn Catalog>,
    staging: &Staging,
    stores: &[StoreDeps],
    bell: &Bell,
    (clock, entropy, vault, min_copies): Given<'_>,
) -> Intake {
    let prover = Proving {
        catalog: Arc::clone(catalog),
        stores: provable(stores),
        bell: bell.clone(),
        vault: Arc::clone(vault),
    };
    let readable = |store: &StoreDeps| (store.id, (store.name.clone(), Arc::clone(&store.storage)));
    let stores: Stores = stores.iter().map(readable).collect::<BTreeMap<BackendId, _>>();
    let bell = bell.clone();
    Intake::new(IntakeDeps {
        catalog: Arc::clone(catalog),
        staging: staging.clone(),
        stores,
        ring: Arc::new(move || bell.ring()),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        vault: Some(Arc::clone(vault)),
        prover: Some(Arc::new(prover)),
        min_copies,
    })
}
