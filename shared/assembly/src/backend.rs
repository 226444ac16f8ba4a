//! Stores from configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use n2s_config::{BackendConfig, BackendKind, Config, NewBackend, S3Config, StagingKind, add_backend};
use n2s_domain::BackendName;
use n2s_domain::backoff::RetryPolicy;
use n2s_storage::{Limited, Metered, Staging, Storage, TimedOut, Verified};
use n2s_storage_backends::LocalStore;

use crate::bucket;
use crate::error::AssemblyError;
use crate::home::Home;

/// A configured store, with its decorators.
pub(crate) fn open(name: &BackendName, config: &BackendConfig) -> Result<Arc<dyn Storage>, AssemblyError> {
    let mut in_bucket = None;
    let store: Arc<dyn Storage> = match config.kind {
        BackendKind::Local => {
            let store = Arc::new(LocalStore::new(name.as_str(), &config.path));
            Arc::new(TimedOut::new(store, config.timeout()))
        }
        // Each of its requests has the deadline. One for a batch would count the wait for a place among `pool_size` as slowness.
        BackendKind::S3 => {
            in_bucket = Some(config.s3.bucket.clone());
            bucket::open(name.as_str(), &config.s3, (config.requests(), config.timeout()))?
        }
    };
    let store = Arc::new(Metered::new(Arc::new(Verified(store)), name.as_str(), in_bucket));
    Ok(match config.bytes_per_sec_max {
        Some(bytes_per_sec) => Arc::new(Limited::new(store, bytes_per_sec)),
        None => store,
    })
}

/// Where sealed blobs wait.
pub(crate) fn open_staging(home: &Home, config: &Config) -> Result<Staging, AssemblyError> {
    let config = &config.staging;
    let mut in_bucket = None;
    let store: Arc<dyn Storage> = match config.kind {
        StagingKind::Local => {
            let root = config.path.clone().unwrap_or_else(|| home.root().to_owned());
            Arc::new(LocalStore::new("staging", root))
        }
        StagingKind::S3 => {
            in_bucket = Some(config.s3.bucket.clone());
            bucket::open("staging", &config.s3, (config.s3.requests(), config.timeout()))?
        }
    };
    // No store can be configured under such a name.
    Ok(Staging::new(Arc::new(Metered::new(store, "@staging", in_bucket))))
}

/// How many objects the store likes to be given at once.
pub(crate) const fn batch(config: &BackendConfig) -> u32 {
    match config.kind {
        // One wait for the disk serves them all.
        BackendKind::Local => 256,
        // Each object is a request, and done when its own is.
        BackendKind::S3 => 1,
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
    Ok(add_backend(&home.config(), name, NewBackend::Local(path))?)
}

/// Adds a bucket to a home: looks at its settings, then writes them into the configuration. The bucket is not asked; it may be
/// out of reach now.
pub fn add_s3_backend(
    home: &Home,
    name: &BackendName,
    s3: &S3Config,
    timeout_secs: Option<u64>,
) -> Result<(), AssemblyError> {
    bucket::check(name.as_str(), s3, timeout_secs)?;
    home.make()?;
    Ok(add_backend(&home.config(), name, NewBackend::S3(s3, timeout_secs))?)
}
