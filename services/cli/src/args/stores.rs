//! The flags of `backends`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use n2s_domain::{BackendName, DatasetName, ProjectName};

/// `backends`.
#[derive(Debug, Subcommand)]
pub enum Backends {
    /// List stores with their state
    List,
    /// Add a store
    Add(Box<Add>),
    /// Send nothing more to a store
    Pause {
        /// Which
        name: BackendName,
        /// Why
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
    },
    /// Send to a store again
    Resume {
        /// Which
        name: BackendName,
    },
    /// Bring datasets to a store they were not on: their latest versions now, later ones as they are pushed
    Sync {
        /// Which
        name: BackendName,
        /// Only datasets of this project
        #[arg(long)]
        project: Option<ProjectName>,
        /// Only this dataset
        #[arg(long, requires = "project")]
        dataset: Option<DatasetName>,
    },
}

/// `backends add`.
#[derive(Debug, ClapArgs)]
pub struct Add {
    /// Its name
    pub name: BackendName,
    /// What it is
    #[arg(value_enum, default_value_t = AddKind::Local)]
    pub kind: AddKind,
    /// local: its directory; made when absent
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub bucket: BucketArgs,
}

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AddKind {
    /// A directory
    Local,
    /// A bucket
    S3,
}

/// The settings of a bucket. Its secret is no argument: other users of a machine see the arguments of processes.
#[derive(Debug, Default, PartialEq, Eq, ClapArgs)]
#[command(next_help_heading = "s3")]
pub struct BucketArgs {
    /// The bucket; it must be there
    #[arg(long)]
    pub bucket: Option<String>,
    /// Its region [default: us-east-1]
    #[arg(long)]
    pub region: Option<String>,
    /// The server, unless AWS: http:// or https:// and a host
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Whether the bucket's name goes into the path [default: where there is an endpoint]
    #[arg(long, value_name = "BOOL")]
    pub path_style: Option<bool>,
    /// What all names in the bucket begin with
    #[arg(long)]
    pub prefix: Option<String>,
    /// Whom to be [default: AWS's default chain decides]
    #[arg(long, value_name = "ID", requires = "secret_access_key_file")]
    pub access_key_id: Option<String>,
    /// The file that holds the secret
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    pub secret_access_key_file: Option<PathBuf>,
    /// Where people fetch from: the address that stands for the bucket
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Requests at a time at most [default: 128]
    #[arg(long, value_name = "N")]
    pub pool_size: Option<u32>,
    /// How long one request may take [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub timeout_secs: Option<u64>,
    /// How often a request whose connection failed is sent again [default: 3]
    #[arg(long, value_name = "N")]
    pub max_retries: Option<u32>,
    /// The class of what stays [default: the bucket's]
    #[arg(long, value_name = "CLASS")]
    pub storage_class: Option<String>,
}
