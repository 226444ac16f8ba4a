//! Others' queues on the same servers: Celery on the same broker, graphile-worker on the same database. Both with their own means of losing
//! nothing, and a task that does nothing but to count that it ran.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use n2s_servers::{Daemon, Postgres};
use serde::Serialize;
use serde_json::{Value, json};

use crate::servers::{Servers, number, until};
use crate::verdict::float;

const LIMIT: Duration = Duration::from_secs(90);

/// Celery's way with results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// None are kept: less than what is done for a job.
    Ignored,
    /// A row for each, in the same PostgreSQL.
    Kept,
}

/// A Celery run: its processes, and whether publishers wait for the broker's word.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Celery {
    pub children: usize,
    pub publishers: usize,
    pub confirms: bool,
}

/// Where `fleet-peers.sh` installs, as seen from the repository's root.
fn installed(path: &str) -> Option<PathBuf> {
    std::path::absolute(Path::new("target/peers").join(path)).ok().filter(|path| path.exists())
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/peers")
}

/// Tasks a second of Celery, from the first message to the last task; `None` when it is not installed.
pub async fn celery(
    servers: &Servers,
    dir: &Path,
    setting: Celery,
    (tasks, results): (usize, Results),
) -> Result<Option<f64>> {
    let Some(bin) = installed("celery/bin") else { return Ok(None) };
    let vhost = servers.rabbit.vhost();
    let mark = tempfile::NamedTempFile::new_in(dir)?;
    let database = (results == Results::Kept).then(|| servers.postgres.database());
    let command = |program: &str| {
        let mut command = Command::new(bin.join(program));
        command.current_dir(scripts()).env("BROKER", &vhost.url).env("MARK", mark.path());
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("CONFIRMS", if setting.confirms { "1" } else { "" });
        if let Some(database) = &database {
            command.env("RESULTS", database.replacen("postgres://", "db+postgresql+psycopg2://", 1));
        }
        command
    };
    let mut worker = command("celery");
    worker.args([
        "-A",
        "celery_noop",
        "worker",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]);
    worker.args(["-l", "ERROR", "--pool", "prefork", "-c", &setting.children.to_string()]);
    let worker = Daemon::start("celery", worker, &dir.join("celery.log"));
    let ready = mark.path().to_owned();
    // Each child says so with a first mark.
    let children = setting.children as u64;
    until("Celery is ready", LIMIT, || size(&ready) >= children).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let each = tasks / setting.publishers;
    let publishers = (0..setting.publishers).map(|i| {
        let mut publish = command("python");
        publish.arg("celery_noop.py").args([(i * each).to_string(), each.to_string()]);
        publish.stdout(Stdio::null()).spawn().context("a publisher does not start")
    });
    let publishers: Result<Vec<Child>> = publishers.collect();
    let all = children + (each * setting.publishers) as u64;
    let done = until("Celery's last task", LIMIT, || size(&ready) >= all).await;
    let seconds = began.elapsed().as_secs_f64();
    for mut publisher in publishers? {
        ensure!(publisher.wait()?.success(), "a publisher of Celery's failed");
    }
    drop(worker);
    done?;
    Ok(Some(float(each * setting.publishers) / seconds))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Jobs a second of graphile-worker, from rows that are there to none; `None` when it is not installed.
pub async fn graphile(servers: &Servers, dir: &Path, jobs: usize) -> Result<Option<f64>> {
    let Some(modules) = installed("node/node_modules") else { return Ok(None) };
    let database = servers.postgres.database();
    // Beside its modules: that is where node looks for them.
    let script = modules.with_file_name("graphile_noop.mjs");
    fs::copy(scripts().join("graphile_noop.mjs"), &script)?;
    let mut runners = Vec::new();
    for _ in 0..2 {
        let mut node = Command::new("node");
        node.arg(&script).args([database.as_str(), "24"]).env("NO_LOG_SUCCESS", "1");
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(dir.join("graphile.log"))?);
        let mut runner = Runner(node.spawn().context("node does not start")?);
        let mut ready = [0; 6];
        let out = runner.0.stdout.as_mut().context("it is piped")?;
        std::io::Read::read_exact(out, &mut ready).context("graphile-worker does not start")?;
        runners.push(runner);
    }
    let add = "SELECT count(*) FROM graphile_worker.add_jobs((SELECT array_agg(('noop', '{}', NULL, now(), 1, NULL, NULL, NULL)
        ::graphile_worker.job_spec) FROM generate_series(1, COUNT)))";
    Postgres::psql(&database, &add.replace("COUNT", &jobs.to_string()));
    let began = Instant::now();
    let left = "SELECT count(*) FROM (SELECT 1 FROM graphile_worker._private_jobs LIMIT 1) j";
    until("graphile-worker's last job", LIMIT, || number(&database, left).is_ok_and(|left| left == 0))
        .await?;
    Ok(Some(float(jobs) / began.elapsed().as_secs_f64()))
}

/// A node that is killed when it is no longer wanted.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The versions of those that are installed.
pub fn versions() -> Value {
    let said = |program: PathBuf, argument: &str| {
        let output = Command::new(program).arg(argument).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let celery = installed("celery/bin/celery").and_then(|celery| said(celery, "--version"));
    let graphile = installed("node/node_modules/graphile-worker/package.json")
        .and_then(|package| serde_json::from_str::<Value>(&fs::read_to_string(package).ok()?).ok())
        .and_then(|package| Some(package["version"].as_str()?.to_owned()));
    json!({ "celery": celery, "graphile-worker": graphile, "node": said("node".into(), "--version") })
}
