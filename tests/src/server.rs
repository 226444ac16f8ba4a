//! `n2s serve intake` over a world's home, and what a client of it is given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use n2s_servers::Daemon;

use crate::binary;

/// A running server. Its home is the world's; its clients have a home of their own, with a copy of the vault.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    /// The other roles of a fleet, which end with it.
    _crew: Vec<Daemon>,
    dir: PathBuf,
    config: Vec<u8>,
    settings: Vec<(String, String)>,
    /// Where it answers.
    pub url: String,
    /// Allows everything.
    pub token: String,
}

fn home(dir: &Path) -> PathBuf {
    dir.join("home")
}

fn config(dir: &Path) -> Vec<u8> {
    std::fs::read(home(dir).join("config.toml")).unwrap_or_default()
}

fn local(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(dir).env("N2S_HOME", home(dir)).env_remove("N2S_CONFIG").env_remove("N2S_SERVER");
    command
}

/// Starts it on `listen`, and waits until it says where it answers.
fn spawn(dir: &Path, listen: &str, settings: &[(String, String)]) -> (Daemon, String) {
    let log = dir.join("server.log");
    let before = std::fs::metadata(&log).map_or(0, |found| found.len());
    let mut command = local(dir);
    command.args(["serve", "intake"]).env("N2S_API__LISTEN", listen).envs(settings.iter().cloned());
    command.env("N2S_LOG", "warn,n2s_intake=debug");
    let mut daemon = Daemon::start("n2s serve intake", command, &log);
    let mut url = String::new();
    daemon.wait_until(Duration::from_mins(1), || {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[usize::try_from(before).unwrap()..]).into_owned();
        let said = text.lines().find_map(|line| line.strip_prefix("API on "));
        said.is_some_and(|said| {
            said.trim().clone_into(&mut url);
            true
        })
    });
    (daemon, url)
}

/// A dispatcher, two workers and a validator, each with a home of its own that holds nothing.
fn crew(dir: &Path, settings: &[(String, String)]) -> Vec<Daemon> {
    let member = |name: &str| {
        let mut command = local(dir);
        let role = name.split('-').next().expect("it has a first part");
        command
            .args(["serve", role])
            .env("N2S_HOME", dir.join(name))
            .env("N2S_CONFIG", home(dir).join("config.toml"));
        command.envs(settings.iter().cloned()).env("N2S_LOG", "warn");
        Daemon::start(name, command, &dir.join(format!("{name}.log")))
    };
    ["dispatcher", "worker-1", "worker-2", "validator"].map(member).into()
}

impl Server {
    /// Starts one over the world in `dir`, with `N2S_…` settings; with the other roles of a fleet beside it, if it is one.
    pub(crate) fn start(dir: &Path, settings: &[(&str, &str)], fleet: bool) -> Self {
        let settings: Vec<_> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (daemon, url) = spawn(dir, "127.0.0.1:0", &settings);
        let token = Self::make_token(dir, &["push", "pull", "operate", "admin"], &[]);
        std::fs::create_dir_all(dir.join("client")).unwrap();
        std::fs::copy(home(dir).join("vault"), dir.join("client/vault")).unwrap();
        let crew = if fleet { crew(dir, &settings) } else { Vec::new() };
        Self { daemon, _crew: crew, dir: dir.to_owned(), config: config(dir), settings, url, token }
    }

    /// Makes a token with these scopes in these projects; in all when none is named.
    pub fn make_token(dir: &Path, scopes: &[&str], projects: &[&str]) -> String {
        let mut command = local(dir);
        command.args(["token", "create", "--name", "test"]);
        for scope in scopes {
            command.args(["--scope", scope]);
        }
        for project in projects {
            command.args(["--project", project]);
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.daemon.signal(rustix::process::Signal::TERM);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.daemon.wait();
    }

    /// Starts it again on the same port after [`Self::kill`].
    pub fn start_again(&mut self) {
        let listen = self.url.rsplit('/').next().unwrap().to_owned();
        (self.daemon, _) = spawn(&self.dir, &listen, &self.settings);
    }

    /// Whether the configuration it was started with is still the home's.
    pub fn is_current(&self) -> bool {
        self.config == config(&self.dir)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("server.log")).unwrap()).into_owned()
    }
}
