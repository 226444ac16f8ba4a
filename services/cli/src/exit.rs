//! Which exit code an outcome gives. They are a contract: 0 done; 1 a store, database, disk or lease, or files that could not be
//! read; 2 bad flags or configuration; 3 something unknown; 4 no intact copy of something.

use std::process::ExitCode;

use n2s_assembly::AssemblyError;
use n2s_catalog::CatalogError;
use n2s_client::pull::PullError;
use n2s_client::push::PushError;
use n2s_client::seam::SeamError;

use crate::output::Output;

/// Bad flags, said by a command rather than by the parser.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Prints an error, with its causes, and gives its code.
pub fn fail(output: &Output, error: &anyhow::Error) -> ExitCode {
    output.error(&n2s_telemetry::report(error.as_ref()));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() {
            return 2;
        }
        if cause.is::<n2s_config::ConfigError>() {
            return 2;
        }
        if let Some(error) = cause.downcast_ref::<SeamError>() {
            return of_seam(error);
        }
        if let Some(error) = cause.downcast_ref::<PushError>() {
            return match error {
                PushError::Seam(error) => of_seam(error),
                PushError::Source { .. } | PushError::Pattern(_) | PushError::MassRemoval { .. } => 2,
                _ => 1,
            };
        }
        if cause.is::<n2s_client::http::HttpError>() {
            return 2;
        }
        if let Some(error) = cause.downcast_ref::<PullError>() {
            return of_pull(error);
        }
        if let Some(error) = cause.downcast_ref::<CatalogError>() {
            return of_catalog(error);
        }
        if let Some(error) = cause.downcast_ref::<AssemblyError>() {
            return match error {
                AssemblyError::Config(_)
                | AssemblyError::Queue(_)
                | AssemblyError::Traces(_)
                | AssemblyError::Vault(_)
                | AssemblyError::VaultMissing(_)
                | AssemblyError::OtherStaging(_)
                | AssemblyError::Store { .. }
                | AssemblyError::Secret { .. }
                | AssemblyError::Tls(_)
                | AssemblyError::NoFleet { .. }
                | AssemblyError::NoStores(_)
                | AssemblyError::ValidatorOff
                | AssemblyError::NoHome(_) => 2,
                AssemblyError::Catalog(error) => of_catalog(error),
                _ => 1,
            };
        }
    }
    1
}

fn of_catalog(error: &CatalogError) -> u8 {
    match error {
        CatalogError::Unknown { .. } => 3,
        CatalogError::WrongVault { .. } | CatalogError::NoBackends | CatalogError::BackendsFixed { .. } => 2,
        _ => 1,
    }
}

fn of_seam(error: &SeamError) -> u8 {
    match error {
        SeamError::Unknown { .. } => 3,
        SeamError::WrongVault(_) | SeamError::Invalid(_) => 2,
        SeamError::NoIntactCopy { .. } => 4,
        _ => 1,
    }
}

fn of_pull(error: &PullError) -> u8 {
    match error {
        PullError::Seam(error) => of_seam(error),
        PullError::NotEmpty(_) | PullError::WrongVault { .. } | PullError::Glob { .. } => 2,
        PullError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotADirectory => 2,
        PullError::NoMatch(_) => 3,
        _ => 1,
    }
}
