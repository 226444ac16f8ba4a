//! The catalog that the settings name: SQLite in the home, or a PostgreSQL server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use n2s_catalog::Catalog;
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions};
use n2s_catalog_sqlite::SqliteCatalog;
use n2s_config::{Config, DatabaseConfig, StagingKind};
use n2s_domain::{Clock, Entropy as _, SystemEntropy};

use crate::error::AssemblyError;
use crate::home::Home;
use crate::node::load;

/// How a process meets the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// It may bring what the catalog does not know yet: stores, and which staging it is.
    Member,
    /// It has the restricted role of workers, and waits until a member has brought these.
    Worker,
}

/// Opens it. SQLite is made and migrated on the way; a server's schema is changed by `n2s migrate` alone, since others work with it.
pub(crate) async fn open(
    home: &Home,
    config: &Config,
    (clock, login): (&Arc<dyn Clock>, Login),
) -> Result<Arc<dyn Catalog>, AssemblyError> {
    let Some(options) = pooled(config)? else {
        return Ok(Arc::new(sqlite(home, clock).await?));
    };
    let catalog = PostgresCatalog::open(&options).await?;
    let known = match login {
        Login::Member => None,
        Login::Worker => Some(catalog.known_staging_id().await?.ok_or(AssemblyError::NotYet("its staging"))?),
    };
    let (id, place) = staging_id(home, config)?;
    let known = match known {
        Some(known) => known,
        None => catalog.staging_id(&id).await?,
    };
    if known != id {
        return Err(AssemblyError::OtherStaging(place));
    }
    Ok(Arc::new(catalog))
}

/// The same catalog for what keeps it moving, with connections of its own: pushes that take all of an API's would hold up the dispatch of every one
/// of them. A home's one process needs no second.
pub(crate) async fn engine(
    config: &Config,
    catalog: &Arc<dyn Catalog>,
) -> Result<Arc<dyn Catalog>, AssemblyError> {
    match pooled(config)? {
        Some(options) => {
            let options = PostgresOptions { pool_name: "engine", ..options };
            Ok(Arc::new(PostgresCatalog::open(&options).await?))
        }
        None => Ok(Arc::clone(catalog)),
    }
}

/// What a pool of connections takes. A process that stops in the middle of a transaction holds its rows for no longer than its jobs.
fn pooled(config: &Config) -> Result<Option<PostgresOptions>, AssemblyError> {
    let idle_in_transaction_timeout = Duration::from_secs(config.worker.lease_secs);
    Ok(server(&config.database)?.map(|options| PostgresOptions { idle_in_transaction_timeout, ..options }))
}

/// Whether it knows a vault already.
pub(crate) async fn knows_vaults(home: &Home, database: &DatabaseConfig) -> Result<bool, AssemblyError> {
    Ok(match server(database)? {
        Some(options) => PostgresCatalog::open(&options).await?.knows_vaults().await?,
        None => home.catalog().exists(),
    })
}

async fn sqlite(home: &Home, clock: &Arc<dyn Clock>) -> Result<SqliteCatalog, AssemblyError> {
    Ok(SqliteCatalog::open(&home.catalog(), Arc::clone(clock), Arc::new(SystemEntropy)).await?)
}

/// What tells a staging from every other, and where it is. A directory has a file that says it, since it may be mounted elsewhere on another machine.
fn staging_id(home: &Home, config: &Config) -> Result<(String, String), AssemblyError> {
    let staging = &config.staging;
    match staging.kind {
        StagingKind::Local => {
            let root = staging.path.as_deref().unwrap_or_else(|| home.root());
            Ok((id_in(root)?, root.display().to_string()))
        }
        StagingKind::S3 => {
            let place = format!("s3://{}/{}", staging.s3.bucket, staging.s3.prefix.trim_matches('/'));
            Ok((place.clone(), place))
        }
    }
}

/// The directory's id; made when absent. Two that make it at once agree on one.
fn id_in(root: &Path) -> Result<String, AssemblyError> {
    let path = root.join("staging-id");
    let made = || {
        if !path.exists() {
            let fresh = format!("{:016x}", SystemEntropy.next_u64());
            let temp = root.join(format!(".staging-id.{fresh}"));
            std::fs::write(&temp, &fresh)?;
            // Whoever is second finds the first's.
            let _ = std::fs::hard_link(&temp, &path);
            std::fs::remove_file(&temp)?;
        }
        std::fs::read_to_string(&path)
    };
    made().map_err(|source| AssemblyError::Io { doing: "reading", path: path.clone(), source })
}

/// What a connection to the server takes; `None` for SQLite.
pub(crate) fn server(database: &DatabaseConfig) -> Result<Option<PostgresOptions>, AssemblyError> {
    let Some(url) = &database.url else { return Ok(None) };
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| AssemblyError::Io { doing: "reading", path: path.clone(), source });
        Ok::<_, AssemblyError>(text?.trim_end_matches(['\r', '\n']).to_owned())
    };
    let password = database.password_file.as_ref().map(read).transpose()?;
    Ok(Some(PostgresOptions {
        password,
        pool_size: database.pool_size,
        statement_timeout: Duration::from_secs(database.answer_secs.into()),
        ..PostgresOptions::new(url.expose())
    }))
}

/// Brings the catalog to this program's schema, and answers from which version to which where it is on a server.
pub async fn migrate(home: &Home) -> Result<Option<(i64, i64)>, AssemblyError> {
    let Some(options) = server(&load(home)?.database)? else {
        if !home.exists() {
            return Err(AssemblyError::NoHome(home.root().to_owned()));
        }
        sqlite(home, &n2s_failpoints::clock()).await?;
        return Ok(None);
    };
    Ok(Some(n2s_catalog_postgres::migrate(&options).await?))
}
