#![doc = include_str!("../../README.md")]

mod clock;
mod history;
mod http;
mod idle;
mod jobs;
mod latency;
mod peers;
mod processes;
mod report;
mod roles;
mod rows;
mod scaling;
mod servers;
mod statements;
mod store;
mod stores;
mod verdict;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracing_subscriber::EnvFilter;

use report::{Figure, Report};
use servers::Servers;

/// The figures, in order.
const FIGURES: [&str; 7] = ["jobs", "latency", "scaling", "history", "http", "stores", "idle"];

/// What a figure is measured with.
pub struct Context {
    /// PostgreSQL and RabbitMQ.
    pub servers: Servers,
    /// The binary.
    pub n2s: PathBuf,
    /// A directory of the run's own.
    pub dir: tempfile::TempDir,
}

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,lapin=off"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "worker") {
        let orders = args.pop().context("a worker needs its orders")?;
        return runtime.block_on(roles::work(serde_json::from_str(&orders)?));
    }
    let report = runtime.block_on(measure(&args))?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    Ok(writeln!(out)?)
}

/// `[N2S] [FIGURE]…`; all figures when none is named.
async fn measure(args: &[String]) -> Result<Report> {
    let (mut wanted, mut n2s) = (Vec::new(), None);
    for arg in args {
        match FIGURES.iter().find(|figure| *figure == arg) {
            Some(figure) => wanted.push(*figure),
            None if arg.contains('/') => n2s = Some(std::path::absolute(arg)?),
            None => bail!("there is no figure {arg}; there are: {}", FIGURES.join(", ")),
        }
    }
    if wanted.is_empty() {
        wanted.extend(FIGURES);
    }
    let context = Context {
        servers: tokio::task::spawn_blocking(Servers::start).await?,
        n2s: n2s.unwrap_or_else(|| "target/release/n2s".into()),
        dir: tempfile::tempdir()?,
    };
    let mut report = Report::new(&context.servers)?;
    for name in wanted {
        writeln!(std::io::stderr(), "{name}")?;
        let began = Instant::now();
        let figure = figure(name, &context).await;
        report.add(name, figure, began.elapsed());
    }
    remove(context.dir)?;
    Ok(report)
}

/// Left to a process that outlives this one: a disk that discards what is deleted takes minutes for a hundred thousand files, and nobody
/// should wait for it, nor be measured beside it.
fn remove(dir: tempfile::TempDir) -> Result<()> {
    let mut remove = Command::new("rm");
    remove.arg("-rf").arg(dir.keep()).process_group(0);
    remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(())
}

async fn figure(name: &str, context: &Context) -> Result<Figure> {
    match name {
        "jobs" => jobs::figure(context).await,
        "latency" => latency::figure(context).await,
        "scaling" => scaling::figure(context).await,
        "history" => history::figure(context).await,
        "http" => http::figure(context).await,
        "stores" => stores::figure(context).await,
        _ => idle::figure(context).await,
    }
}
