//! One file per command.

mod add;
mod backends;
mod failed;
mod files;
mod keys;
mod pull;
mod push;
mod repair;
mod serve;
mod status;
mod sync;
mod up;
mod validate;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use n2s_assembly::{Home, Node};

use crate::args::{Args, Command, ConfigCommand};
use crate::exit::Usage;
use crate::output::Output;

/// Runs a command.
pub async fn run(args: Args, output: &Output) -> anyhow::Result<ExitCode> {
    let home = Home::new(home_dir(args.home)?, args.config);
    match args.command {
        Command::Push(push) => push::run(home, *push, output).await,
        Command::Pull(pull) => pull::run(home, pull, output).await,
        Command::Files(files) => files::files(&*open(home).await?, files, output).await,
        Command::Search(search) => files::search(&*open(home).await?, search, output).await,
        Command::Changesets(changesets) => status::changesets(&*open(home).await?, changesets, output).await,
        Command::Status(status) => status::status(&*open(home).await?, status, output).await,
        Command::Failed(failed) => failed::failed(&*open(home).await?, failed, output).await,
        Command::Retry(failed) => failed::retry(home, failed, output).await,
        Command::Validate(validate) => validate::run(home, validate, output).await,
        Command::Repair(repair) => repair::run(home, repair, output).await,
        Command::Backends(backends) => backends::run(home, backends, output).await,
        Command::Keys(keys) => keys::run(home, keys, output).await,
        Command::Config(ConfigCommand::Check) => check(&home, output),
        Command::Migrate => migrate(&home, output).await,
        Command::Audit => status::audit(&*open(home).await?, output).await,
        Command::Up => up::run(home, output).await,
        Command::Serve(role) => serve::run(home, &role, output).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "n2s", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Args::command(), dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens a home that must be there.
async fn open(home: Home) -> anyhow::Result<Arc<Node>> {
    Ok(Arc::new(Node::open(home).await?))
}

fn home_dir(given: Option<PathBuf>) -> Result<PathBuf, Usage> {
    let absolute =
        |path: PathBuf| std::path::absolute(&path).map_err(|error| Usage(format!("--home: {error}")));
    if let Some(home) = given {
        return absolute(home);
    }
    let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let data = dir("XDG_DATA_HOME").or_else(|| dir("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("n2s"))
        .ok_or_else(|| Usage("neither HOME nor N2S_HOME is set; use --home DIR".to_owned()))
}

fn check(home: &Home, output: &Output) -> anyhow::Result<ExitCode> {
    let path = home.config();
    let config = n2s_config::Config::load(&path)?;
    n2s_assembly::check(home, &config)?;
    let names: Vec<_> = config.backends.keys().map(ToString::to_string).collect();
    let text = format!("{} is fine; backends: {}", path.display(), names.join(", "));
    output.answer(&text, &serde_json::json!({ "path": path, "backends": names }));
    Ok(ExitCode::SUCCESS)
}

async fn migrate(home: &Home, output: &Output) -> anyhow::Result<ExitCode> {
    let text = match n2s_assembly::migrate(home).await? {
        Some((from, to)) if from < to => format!("the catalog is migrated from schema {from} to {to}"),
        _ => "the catalog is at this version's schema".to_owned(),
    };
    output.answer(&text, &serde_json::json!({ "migrated": true }));
    Ok(ExitCode::SUCCESS)
}
