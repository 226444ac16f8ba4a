//! One file per command.

mod add;
mod backends;
mod catch_up;
mod failed;
mod files;
mod keys;
mod pull;
mod push;
mod repair;
mod serve;
mod status;
mod sync;
mod token;
mod up;
mod validate;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use n2s_assembly::{Home, Node};
use n2s_telemetry::trace::{Kind, Span, belongs_to};

use crate::args::{Args, CatalogCommand, Command, ConfigCommand, Serve};
use crate::exit::Usage;
use crate::output::Output;
use crate::side::{Place, Server};

/// Runs a command.
pub async fn run(args: Args, output: &Output) -> anyhow::Result<ExitCode> {
    let server = args.server.map(|url| Server {
        url,
        token_file: args.token_file,
        ca: args.ca,
        plain_http: args.plain_http,
    });
    let place = Place { home: Home::new(home_dir(args.home)?, args.config), server };
    n2s_assembly::collect_traces(&place.home, role(&args.command))?;
    match args.command {
        // The largest of them, which every command would carry.
        Command::Push(push) => Box::pin(traced("push", push::run(place, *push, output))).await,
        Command::Pull(pull) => pull::run(place, pull, output).await,
        Command::Files(files) => files::files(&place.open().await?, files, output).await,
        Command::Search(search) => files::search(&place.open().await?, search, output).await,
        Command::Changesets(changesets) => status::changesets(&place.open().await?, changesets, output).await,
        Command::Status(status) => status::status(&place.open().await?, status, output).await,
        Command::Failed(failed) => failed::failed(&place.open().await?, failed, output).await,
        Command::Retry(failed) => failed::retry(&place.open().await?, failed, output).await,
        Command::Cancel { changeset } => failed::cancel(&place.open().await?, changeset, output).await,
        Command::Validate(validate) => validate::run(place, validate, output).await,
        Command::Repair(repair) => repair::run(place, repair, output).await,
        Command::Backends(backends) => backends::run(place, backends, output).await,
        Command::Token(token) => token::run(&*place.open_or_make().await?.operator, token, output).await,
        Command::Audit => status::audit(&place.open().await?, output).await,
        Command::Catalog(CatalogCommand::CatchUp) => {
            catch_up::run(place.home_only("catalog catch-up")?, output).await
        }
        Command::Keys(keys) => keys::run(place.home_only("keys")?, keys, output).await,
        Command::Config(ConfigCommand::Check) => check(&place.home_only("config")?, output),
        Command::Migrate => migrate(&place.home_only("migrate")?, output).await,
        Command::Up => up::run(place.home_only("up")?, up::As::Everything, output).await,
        Command::Serve(serve) => serve::run(place.home_only("serve")?, serve, output).await,
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

/// What this process is, for whoever looks at traces.
fn role(command: &Command) -> &'static str {
    match command {
        Command::Push(_) => "push",
        Command::Up => "up",
        Command::Serve(Serve::Intake) => "intake",
        Command::Serve(Serve::Dispatcher(_)) => "dispatcher",
        Command::Serve(Serve::Worker(_)) => "worker",
        Command::Serve(Serve::Validator(_)) => "validator",
        _ => "client",
    }
}

/// A command that is one span, of the trace that the variable TRACEPARENT names, or of one of its own. All that the process does meanwhile
/// belongs to it.
async fn traced<T>(
    name: &'static str,
    command: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let parent = std::env::var("TRACEPARENT").ok().and_then(|text| text.parse().ok());
    let mut span = Span::begin(name, Kind::Client, parent);
    if let Some(context) = span.as_ref().map(Span::context).or(parent) {
        belongs_to(context);
    }
    let ended = command.await;
    if let (Some(span), Err(_)) = (&mut span, &ended) {
        // Not why: it may name paths.
        span.failed("the command failed");
    }
    ended
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
