//! Proving what the stores hold.

use clap::Args as ClapArgs;
use n2s_domain::{BackendName, DatasetName, ProjectName, ProofLevel};

use super::Dataset;

/// `validate`.
#[derive(Debug, ClapArgs)]
pub struct Validate {
    #[command(flatten)]
    pub dataset: Dataset,
    /// Prove one copy in N of each store, those whose proof is oldest: N runs prove everything
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub sample_rate: u64,
    /// How thoroughly: exists asks the store; sealed reads all bytes; content opens them with the vault
    #[arg(long, default_value_t = ProofLevel::Sealed)]
    pub level: ProofLevel,
    /// Only on this store
    #[arg(long)]
    pub backend: Option<BackendName>,
    /// Bytes read from each store in a second [default: as fast as it goes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit_bytes_per_second: Option<u64>,
    /// Do not wait until damaged copies are replaced
    #[arg(long)]
    pub no_wait: bool,
}

/// `repair`.
#[derive(Debug, ClapArgs)]
pub struct Repair {
    /// Of this project
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// Of this dataset
    #[arg(long, requires = "project")]
    pub dataset: Option<DatasetName>,
    /// On this store
    #[arg(long)]
    pub backend: Option<BackendName>,
}
