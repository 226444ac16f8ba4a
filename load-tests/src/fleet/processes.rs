//! The binary's own roles as processes, on the run's servers, with a directory as staging and another as store.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use n2s_servers::free_port;

use crate::servers::{Servers, until};
use crate::statements;

const READY: Duration = Duration::from_mins(1);

/// A home and what serves it.
pub struct Served {
    dir: PathBuf,
    n2s: PathBuf,
    members: Vec<(String, Child)>,
    url: String,
}

impl Served {
    /// One process with SQLite: `n2s up`.
    pub async fn embedded(n2s: &Path, dir: &Path) -> Result<Self> {
        let mut served = Self::prepare(n2s, dir, "")?;
        served.api(&["up"]).await?;
        Ok(served)
    }

    /// Intake, a dispatcher, a validator and two workers, with PostgreSQL and RabbitMQ. Returns the database, too.
    pub async fn fleet(n2s: &Path, dir: &Path, servers: &Servers) -> Result<(Self, String)> {
        let (database, queue) = (servers.postgres.database(), servers.rabbit.vhost().url);
        let settings = format!("[database]\nurl = \"{database}\"\n[queue]\nurl = \"{queue}\"\n");
        let mut served = Self::prepare(n2s, dir, &settings)?;
        served.run(&["migrate"])?;
        statements::follow(&database);
        served.api(&["serve", "intake"]).await?;
        for (name, role) in [
            ("dispatcher", "dispatcher"),
            ("validator", "validator"),
            ("worker-1", "worker"),
            ("worker-2", "worker"),
        ] {
            let mut command = served.command(&["serve", role]);
            command.env("N2S_HOME", dir.join(name)).env("N2S_CONFIG", dir.join("home/config.toml"));
            served.start(name, command)?;
        }
        for name in ["dispatcher", "worker-1", "worker-2"] {
            let log = dir.join(format!("{name}.log"));
            until(name, READY, || fs::read_to_string(&log).is_ok_and(|text| text.contains("at work")))
                .await?;
        }
        Ok((served, database))
    }

    fn prepare(n2s: &Path, dir: &Path, settings: &str) -> Result<Self> {
        for name in ["home", "client", "staging", "store"] {
            fs::create_dir_all(dir.join(name))?;
        }
        let shown = dir.display();
        let stores = format!(
            "[staging]\npath = \"{shown}/staging\"\n[backends.disk]\nkind = \"local\"\npath = \"{shown}/store\"\n"
        );
        fs::write(dir.join("home/config.toml"), format!("{settings}{stores}"))?;
        let url = format!("http://127.0.0.1:{}", free_port());
        Ok(Self { dir: dir.to_owned(), n2s: n2s.to_owned(), members: Vec::new(), url })
    }

    /// Starts the process with the API, and makes a client that has the vault and a token.
    async fn api(&mut self, role: &[&str]) -> Result<()> {
        let mut command = self.command(role);
        command.env("N2S_API__LISTEN", self.url.trim_start_matches("http://"));
        self.start("intake", command)?;
        let log = self.dir.join("intake.log");
        until("the API", READY, || fs::read_to_string(&log).is_ok_and(|text| text.contains("API on ")))
            .await?;
        let token = self.run(&["token", "create", "--name", "load", "--scope", "push", "--scope", "pull"])?;
        fs::write(self.dir.join("token"), token.trim())?;
        fs::copy(self.dir.join("home/vault"), self.dir.join("client/vault")).context("the vault")?;
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.n2s);
        command.args(args).env("N2S_HOME", self.dir.join("home")).env("N2S_LOG", "warn").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn start(&mut self, name: &str, mut command: Command) -> Result<()> {
        let log = File::create(self.dir.join(format!("{name}.log")))?;
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        self.members.push((name.to_owned(), child));
        Ok(())
    }

    /// Pushes over HTTP as a new project's first version, until it is completed; seconds.
    pub fn push(&self, project: &str, source: &Path) -> Result<f64> {
        let mut push = Command::new(&self.n2s);
        push.args(["--server", &self.url, "--token-file"]).arg(self.dir.join("token"));
        push.env("N2S_HOME", self.dir.join("client"));
        timed(push, project, source)
    }

    /// The processes, by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, u32)> {
        self.members.iter().map(|(name, child)| (name.as_str(), child.id()))
    }
}

/// Pushes in one process, into a home of its own below `dir`; seconds.
pub fn push_embedded(n2s: &Path, dir: &Path, project: &str, source: &Path) -> Result<f64> {
    let mut push = Command::new(n2s);
    push.env("N2S_HOME", dir.join("embedded"));
    timed(push, project, source)
}

fn timed(mut push: Command, project: &str, source: &Path) -> Result<f64> {
    push.args(["--quiet", "push", "--project", project, "--dataset", "load"]).arg(source);
    let began = Instant::now();
    let output = push.stdin(Stdio::null()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(output.status.success(), "a push failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(seconds)
}

impl Drop for Served {
    fn drop(&mut self) {
        for (_, child) in &mut self.members {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
