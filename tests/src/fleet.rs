//! The roles of a fleet as processes of their own, on one catalog and one queue.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use n2s_servers::{Daemon, Postgres};
use rustix::process::Signal;
use serde_json::Value;

use crate::{World, raw};

/// A world whose home, and every role beside it, have the same settings.
#[derive(Debug)]
pub struct Fleet {
    /// Its home is the one with the vault.
    pub world: World,
    database: String,
}

/// One process of it.
#[derive(Debug)]
pub struct Member {
    daemon: Daemon,
    log: PathBuf,
    /// Where its words begin: before them are those of whoever was started under this name before.
    begins: usize,
}

impl Fleet {
    /// Writes the settings: a fresh database, this queue, and what else is to be set, such as stores and staging.
    pub fn new(world: World, database: String, queue: &str, more: &str) -> Self {
        let config = format!("[database]\nurl = \"{database}\"\n[queue]\nurl = \"{queue}\"\n{more}");
        world.write("home/config.toml", config);
        world.n2s(&["migrate"]).code(0);
        Self { world, database }
    }

    /// A local store and a local staging that every role can reach.
    pub fn shared_disk(world: &World, more: &str) -> String {
        let path = |name: &str| {
            let path = world.path(name);
            std::fs::create_dir_all(&path).unwrap();
            path.display().to_string()
        };
        let (staging, store) = (path("staging"), path("store"));
        format!(
            "[staging]\npath = \"{staging}\"\n[backends.disk]\nkind = \"local\"\npath = \"{store}\"\n{more}"
        )
    }

    /// Starts a role. It has a home of its own with nothing in it, and the fleet's settings.
    pub fn start(&self, name: &str, serve: &[&str], variables: &[(&str, &str)]) -> Member {
        let config = self.world.path("home/config.toml");
        let mut command = self.world.command(&[&["serve"], serve, &["--health", "127.0.0.1:0"]].concat());
        command.env("N2S_HOME", self.world.path(name)).env("N2S_CONFIG", config).env("N2S_LOG", "info");
        command.envs(variables.iter().copied());
        Member::start(name, command, &self.world.path(&format!("{name}.log")))
    }

    /// Starts an intake at the home, and returns its address and a token for everything.
    pub fn intake(&self) -> (Member, String, String) {
        let mut command = self.world.command(&["serve", "intake"]);
        command.env("N2S_LOG", "info");
        let mut member = Member::start("intake", command, &self.world.path("intake.log"));
        let url = member.said("API on ");
        let scopes = ["push", "pull", "operate", "admin"].map(|scope| ["--scope", scope]).concat();
        let made = self.world.n2s(&[&["token", "create", "--name", "all"], &scopes[..]].concat()).code(0);
        (member, url, made.out.trim().to_owned())
    }

    /// What the catalog answers.
    pub fn ask(&self, sql: &str) -> String {
        Postgres::psql(&self.database, sql)
    }

    /// A number the catalog answers.
    pub fn count(&self, sql: &str) -> u64 {
        let answer = self.ask(sql);
        answer.parse().unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The address of the database for a login that may only do what a worker must.
    pub fn restricted(&self) -> String {
        // Logins are the server's, and its databases many: this one's name makes it one's own.
        let login = format!("worker_of_{}", self.database.rsplit('/').next().unwrap());
        self.ask(&format!("CREATE ROLE {login} LOGIN; GRANT n2s_worker TO {login}"));
        self.database.replacen("postgres@", &format!("{login}@"), 1)
    }
}

impl Member {
    /// Starts `command`, whose words go to the end of a log.
    pub fn start(name: &str, command: Command, log: &Path) -> Self {
        let begins = read(log).len();
        Self { daemon: Daemon::start(name, command, log), log: log.to_owned(), begins }
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        text(&self.log, self.begins)
    }

    /// Waits for a line of its log that begins so, and returns the rest of the last one.
    pub fn said(&mut self, words: &str) -> String {
        let Self { daemon, log, begins } = self;
        let mut found = None;
        daemon.wait_until(Duration::from_mins(2), || {
            found = last(&text(log, *begins), words);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Waits until it says that it is at work.
    pub fn at_work(mut self, role: &str) -> Self {
        self.said(&format!("{role} at work"));
        self
    }

    /// What it answers on a path: the status and the document.
    pub fn health(&mut self, path: &str) -> (u16, Value) {
        let url = self.said("health on http://");
        let url = format!("http://{}", url.strip_suffix("/readyz").unwrap());
        let answer = raw::request(&url, &format!("GET {path}"), "", &[], b"");
        (answer.status, answer.json())
    }

    /// Whether it says it is ready.
    pub fn is_ready(&mut self) -> bool {
        self.health("/readyz").0 == 200
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Stops it where it is, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// Waits until it ends, and says how.
    pub fn wait(&mut self) -> ExitStatus {
        self.daemon.wait()
    }

    /// Asks it to end, as a service manager does, and waits for that.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

fn read(log: &Path) -> Vec<u8> {
    std::fs::read(log).unwrap_or_default()
}

fn text(log: &Path, begins: usize) -> String {
    String::from_utf8_lossy(read(log).get(begins..).unwrap_or_default()).into_owned()
}

/// What follows these words in the last line that begins with them.
fn last(text: &str, words: &str) -> Option<String> {
    text.lines().rev().find_map(|line| Some(line.strip_prefix(words)?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_former_member_of_that_name_has_said_is_not_said_by_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let (log, go) = (dir.path().join("log"), dir.path().join("go"));
        let mut first = Member::start("one", shell("echo 'API on first'; exec tail -f /dev/null"), &log);
        assert_eq!(first.said("API on "), "first");
        first.kill();
        let second = format!(
            "until [ -e '{}' ]; do :; done; echo 'API on second'; exec tail -f /dev/null",
            go.display()
        );
        let mut second = Member::start("one", shell(&second), &log);
        assert_eq!(second.log(), "");
        std::fs::write(&go, "").unwrap();
        assert_eq!(second.said("API on "), "second");
        assert!(!second.log().contains("first"));
    }
}
