//! Why a home cannot be used.

use std::path::PathBuf;

use n2s_catalog::CatalogError;
use n2s_config::ConfigError;
use n2s_envelope::VaultError;
use n2s_storage_backends::s3::InvalidS3Options;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Its catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Where its spans are to go.
    #[error(transparent)]
    Traces(#[from] n2s_telemetry::trace::OtlpError),
    /// The settings of its queue.
    #[error("[queue] cannot work: {0}")]
    Queue(String),
    /// A setting that only the store understands.
    #[error("the settings of '{name}' cannot work: {source}")]
    Store {
        /// The backend, or `staging`.
        name: String,
        /// Which setting, and why.
        source: InvalidS3Options,
    },
    /// A secret that cannot be read.
    #[error("the secret_access_key_file {file} of '{name}' cannot be read")]
    Secret {
        /// The backend, or `staging`.
        name: String,
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The API's certificate or key.
    #[error(transparent)]
    Tls(#[from] n2s_intake::http::TlsError),
    /// The API cannot listen.
    #[error("{address} cannot be listened on; set another with [api] listen")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The health of a role cannot be asked there.
    #[error("{address} cannot be listened on; name another with --health or [health] listen")]
    ListenHealth {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A role that only a fleet has.
    #[error(
        "a {role} of its own is for a fleet: {missing}; on one machine `n2s up` does everything in one process"
    )]
    NoFleet {
        /// `dispatcher`, `worker`.
        role: &'static str,
        /// What to set.
        missing: &'static str,
    },
    /// A validator that is to do nothing.
    #[error("[validator] bytes_per_second is 0, which turns the validator off; set a rate")]
    ValidatorOff,
    /// A role without stores.
    #[error("{0} names no store, so there is nothing to do; write [backends.NAME] for each")]
    NoStores(PathBuf),
    /// A worker came before those who may write down what it needs.
    #[error(
        "the catalog does not know {0} yet; an intake or dispatcher with the same settings brings it there"
    )]
    NotYet(&'static str),
    /// There is none, and the command makes none.
    #[error("there is no n2s home at {0}; `n2s push` makes one, --home names another")]
    NoHome(PathBuf),
    /// A directory or file of it.
    #[error("{doing} {path} failed")]
    Io {
        /// `making`, `locking`, ….
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error(
        "{0} is on a read-only file system; mount it writable, or copy the home (cp -a) and name the copy with --home"
    )]
    ReadOnly(PathBuf),
    /// The vault of the home is gone, or was never brought there, while its catalog knows one.
    #[error(
        "the vault {0} is missing, but the catalog knows one; restore the vault from your backup or copy it from another home, a new one could open nothing"
    )]
    VaultMissing(PathBuf),
    /// The server's catalog has staged its blobs elsewhere.
    #[error(
        "{0} is not the staging of this catalog: homes that share a database share their staging, so set [staging]; if the former one is gone for good, UPDATE catalog SET staging_id = NULL"
    )]
    OtherStaging(String),
}
