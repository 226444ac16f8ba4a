//! A home, opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use n2s_catalog::{Catalog, VaultObjects};
use n2s_config::Config;
use n2s_domain::{BackendId, Clock, SystemEntropy};
use n2s_envelope::Vault;
use n2s_failpoints::{Point, failpoint};
use n2s_intake::{Intake, IntakeDeps, Stores};
use n2s_queue::Bell;
use n2s_worker::StoreDeps;

use crate::catalog::Login;
use crate::check::check;
use crate::error::AssemblyError;
use crate::home::Home;
use crate::push_lock::lock_making;
use crate::station::Station;
use crate::validation::Proving;
use crate::{backend, catalog};

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
    /// What needs no keys.
    pub(crate) station: Arc<Station>,
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
        let station = Arc::new(Station::open(&home, &config, Login::Member).await?);
        let objects =
            VaultObjects { vault: vault.id(), marker: vault.marker(), epochs: vault.wrapped_epochs() };
        station.catalog.register_vault(&objects).await?;
        drop(making);
        let vault = Arc::new(vault);
        Ok(Self {
            intake: Arc::new(intake(&station, &vault, config.push.min_copies)),
            catalog: Arc::clone(&station.catalog),
            clock: Arc::clone(&station.clock),
            vault,
            home,
            config,
            made_vault,
            station,
        })
    }
}

impl Node {
    /// Whether catalog and queue are shared, so that each role may be a process of its own.
    pub fn is_of_a_fleet(&self) -> bool {
        self.station.fleet().is_some()
    }

    /// To be rung after rows were written that the engine should look at.
    pub fn bell(&self) -> &Bell {
        &self.station.bell
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

fn intake(station: &Station, vault: &Arc<Vault>, min_copies: Option<u32>) -> Intake {
    let readable = |store: &StoreDeps| (store.id, (store.name.clone(), Arc::clone(&store.storage)));
    let stores: Stores = station.stores.iter().map(readable).collect::<BTreeMap<BackendId, _>>();
    let bell = station.bell.clone();
    Intake::new(IntakeDeps {
        catalog: Arc::clone(&station.catalog),
        staging: station.staging.clone(),
        stores,
        ring: Arc::new(move || bell.ring()),
        clock: Arc::clone(&station.clock),
        entropy: Arc::clone(&station.entropy),
        vault: Some(Arc::clone(vault)),
        prover: Some(Arc::new(Proving { keyless: station.validator(), vault: Arc::clone(vault) })),
        min_copies,
    })
}
