//! The command line.

mod proving;
mod serving;
mod stores;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use n2s_domain::{BackendName, ChangesetId, ChangesetStatus, DatasetName, FailureKind, ProjectName};

pub use proving::{Repair, Validate};
pub use serving::{Serve, Token, Watched};
pub use stores::{Add, AddKind, Backends, BucketArgs};

/// One archive on several stores at once, encrypted, with a memory of what is where.
#[derive(Debug, Parser)]
#[command(name = "n2s", version, max_term_width = 110)]
pub struct Args {
    /// Where n2s keeps its things [default: $XDG_DATA_HOME/n2s, else ~/.local/share/n2s]
    #[arg(long, global = true, env = "N2S_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Read this configuration instead of the home's config.toml
    #[arg(long, global = true, env = "N2S_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Work on this server instead of a home of this machine: https://host:port
    #[arg(long, global = true, env = "N2S_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Read the server's token from this file [default: the variable N2S_TOKEN]
    #[arg(long, global = true, env = "N2S_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Trust these certificates (PEM) besides the system's
    #[arg(long, global = true, env = "N2S_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Allow http:// to another machine, which shows the token to everyone on the way
    #[arg(long, global = true)]
    pub plain_http: bool,
    /// How answers look
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: one JSON document
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record a directory as a new version and put it on every store
    Push(Box<Push>),
    /// Bring a version back
    Pull(Pull),
    /// List the paths of a version
    Files(Files),
    /// Find paths by a part of their name, whatever its case or Unicode form
    Search(Search),
    /// List changesets, newest first
    Changesets(Changesets),
    /// Show how far things are: one changeset, or every store
    Status(Status),
    /// List what could not be stored, and why
    Failed(Failed),
    /// Try failed uploads again
    Retry(Failed),
    /// Prove what the stores hold of a dataset, oldest proof first, and have damaged copies replaced
    Validate(Validate),
    /// Replace every copy that was found damaged, as far as an intact one is left
    Repair(Repair),
    /// Give up what a changeset still waits for; `retry` takes it up again
    Cancel {
        /// Which
        changeset: ChangesetId,
    },
    /// List, add, pause and resume stores
    #[command(subcommand)]
    Backends(Backends),
    /// Show, print and rotate keys
    #[command(subcommand)]
    Keys(Keys),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Bring the catalog to this version's schema
    Migrate,
    /// Recount every counter of the catalog from its rows
    Audit,
    /// Catch up with the stores after an older catalog was restored
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Keep everything running, the API on loopback included, until interrupted
    Up,
    /// Run one role of a fleet until interrupted: on a catalog in PostgreSQL and a queue in RabbitMQ, any number of each
    #[command(subcommand)]
    Serve(Serve),
    /// Make, list and revoke tokens of the API
    #[command(subcommand)]
    Token(Token),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// Where
        dir: PathBuf,
    },
}

/// A dataset.
#[derive(Debug, ClapArgs)]
pub struct Dataset {
    /// The project
    #[arg(long)]
    pub project: ProjectName,
    /// The dataset
    #[arg(long)]
    pub dataset: DatasetName,
}

/// Which version.
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
pub struct Which {
    /// The newest version with this label
    #[arg(long)]
    pub snapshot: Option<String>,
    /// This version
    #[arg(long)]
    pub version: Option<u64>,
}

/// `push`.
#[derive(Debug, ClapArgs)]
pub struct Push {
    #[command(flatten)]
    pub dataset: Dataset,
    /// Your own label of this version
    #[arg(long)]
    pub snapshot: Option<String>,
    /// A note
    #[arg(long)]
    pub description: Option<String>,
    /// Who pushes; an interrupted push is resumed by the same client [default: this machine and source]
    #[arg(long)]
    pub client_id: Option<String>,
    /// Your own keys and values
    #[arg(long, value_name = "K=V", value_parser = key_value)]
    pub meta: Vec<(String, String)>,
    /// A store for the dataset's first push; repeatable [default: all]
    #[arg(long = "backend", value_name = "NAME")]
    pub backends: Vec<BackendName>,
    /// Copies that make the changeset safe [default: all its stores]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub min_copies: Option<u32>,
    /// The directory that paths are recorded relative to [default: the one PATH]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Touch only the PATHs themselves: put those that exist, remove those that do not
    #[arg(long)]
    pub delta: bool,
    /// Like --delta, with paths from a file or, as -, from standard input: separated by NUL if there is one, else by newlines
    #[arg(long, value_name = "FILE", conflicts_with = "delta")]
    pub files_from: Option<PathBuf>,
    /// Leave out what matches, as in .gitignore; repeatable
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Stay on the file system of the root
    #[arg(long)]
    pub one_file_system: bool,
    /// Read every file, whatever its times say
    #[arg(long)]
    pub checksum: bool,
    /// Allow the dataset to lose more than half of its paths
    #[arg(long)]
    pub allow_mass_removal: bool,
    /// Give up and undo an open push of this dataset, whoever's it is
    #[arg(long)]
    pub take_over: bool,
    /// Do not wait until every store has everything
    #[arg(long)]
    pub no_wait: bool,
    /// What to push
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    pub paths: Vec<PathBuf>,
}

/// `pull`.
#[derive(Debug, ClapArgs)]
pub struct Pull {
    #[command(flatten)]
    pub dataset: Dataset,
    #[command(flatten)]
    pub which: Which,
    /// Where to; must be empty or absent
    #[arg(long, value_name = "DIR")]
    pub target: PathBuf,
    /// Write into a directory that is not empty, replacing what differs
    #[arg(long)]
    pub force: bool,
    /// Say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Read everything back and compare
    #[arg(long)]
    pub verify: bool,
    /// Prefer this store
    #[arg(long, value_name = "BACKEND")]
    pub from: Option<BackendName>,
    /// Only what matches
    #[arg(value_name = "GLOB")]
    pub globs: Vec<String>,
}

/// `files`.
#[derive(Debug, ClapArgs)]
pub struct Files {
    #[command(flatten)]
    pub dataset: Dataset,
    #[command(flatten)]
    pub which: Which,
    /// Show on which stores each file is
    #[arg(long)]
    pub stores: bool,
    /// Only this path and what lies below it
    pub path: Option<PathBuf>,
}

/// `search`.
#[derive(Debug, ClapArgs)]
pub struct Search {
    /// In this project
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// In this dataset
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// A part of the path
    pub text: String,
}

/// `changesets`.
#[derive(Debug, ClapArgs)]
pub struct Changesets {
    /// Of this project
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// Of this dataset
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// In this status
    #[arg(long)]
    pub status: Option<ChangesetStatus>,
    /// At most this many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// `status`.
#[derive(Debug, ClapArgs)]
pub struct Status {
    /// One changeset
    pub changeset: Option<ChangesetId>,
}

/// `failed` and `retry`.
#[derive(Debug, ClapArgs)]
pub struct Failed {
    /// Of this project
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// Of this dataset
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// On this store
    #[arg(long)]
    pub backend: Option<BackendName>,
    /// That this changeset waits for
    #[arg(long)]
    pub changeset: Option<ChangesetId>,
    /// Of this kind
    #[arg(long)]
    pub kind: Option<FailureKind>,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Show the vault's id and epochs
    Show,
    /// Print the root, to be kept on paper: whoever has it can read everything
    PrintRoot,
    /// Start a new sealing epoch
    Rotate,
}

/// `catalog`.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Step over versions that lie on the stores and that this catalog, restored from an older copy, would give their numbers out again
    CatchUp,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read it and say what is wrong
    Check,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be of the form KEY=VALUE".to_owned()),
    }
}
