//! Where a machine keeps its things.
//!
//! ```text
//! home/            0700
//!   config.toml    stores and settings
//!   vault          the root secret, 0600
//!   catalog.db     SQLite, with its -wal and -shm
//!   engine.lock    held by the process that runs the engine
//!   staging/ tmp/  sealed blobs on their way
//!   cache/         stat caches
//!   pushes/        one lock per dataset being pushed
//!   store/         the first local store
//! ```

use std::path::{Path, PathBuf};

use crate::error::AssemblyError;

/// A home; nothing is touched until it is opened or made.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    config: Option<PathBuf>,
}

impl Home {
    /// The home at `root`, with its own configuration or another file.
    pub fn new(root: PathBuf, config: Option<PathBuf>) -> Self {
        Self { root, config }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.root.join("config.toml"))
    }

    /// Its vault.
    pub fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// Its catalog.
    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog.db")
    }

    /// Its stat caches.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn engine_lock(&self) -> PathBuf {
        self.root.join("engine.lock")
    }

    pub(crate) fn pushes(&self) -> PathBuf {
        self.root.join("pushes")
    }

    /// Whether it has been made.
    pub fn exists(&self) -> bool {
        self.catalog().exists() || self.vault().exists()
    }

    /// Makes its directories, private to their owner. Safe to repeat.
    pub fn make(&self) -> Result<(), AssemblyError> {
        use std::os::unix::fs::DirBuilderExt as _;
        for path in [self.root.clone(), self.cache(), self.pushes()] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| AssemblyError::Io { doing: "making the directory", path, source })?;
        }
        Ok(())
    }
}
