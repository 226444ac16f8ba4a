//! Stores from configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use n2s_config::{BackendConfig, BackendKind, add_backend};
use n2s_domain::BackendName;
use n2s_domain::backoff::RetryPolicy;
use n2s_storage::{Storage, TimedOut, Verified};
use n2s_storage_backends::LocalStore;

use crate::error::AssemblyError;
use crate::home::Home;

/// A configured store, with its decorators.
pub(crate) fn open(name: &BackendName, config: &BackendConfig) -> Arc<dyn Storage> {
    let store: Arc<dyn Storage> = match config.kind {
        BackendKind::Local => Arc::new(LocalStore::new(name.as_str(), &config.path)),
    };
    let timed = Arc::new(TimedOut::new(store, Duration::from_secs(config.timeout_secs)));
    Arc::new(Verified(timed))
}

/// How many objects the store likes to be given at once.
pub(crate) const fn batch(config: &BackendConfig) -> u32 {
    match config.kind {
        // One wait for the disk serves them all.
        BackendKind::Local => 128,
    }
}

pub(crate) fn retry(config: &BackendConfig) -> RetryPolicy {
    RetryPolicy {
        attempts_max: config.retry.attempts_max,
        base: Duration::from_millis(config.retry.base_ms),
        cap: Duration::from_secs(config.retry.cap_secs),
    }
}

/// Where the store of a home that has none configured lies.
pub fn default_store_path(home: &Home) -> PathBuf {
    home.root().join("store")
}

/// Adds a local store to a home: makes its directory, then writes it into the configuration.
pub fn add_local_backend(home: &Home, name: &BackendName, path: &Path) -> Result<(), AssemblyError> {
    home.make()?;
    let made = LocalStore::create_root(path);
    made.map_err(|source| AssemblyError::Io {
        doing: "making the store's directory",
        path: path.to_owned(),
        source,
    })?;
    Ok(add_backend(&home.config(), name, BackendKind::Local, path)?)
}
