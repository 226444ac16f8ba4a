//! What the black-box tests share: a world with a home, a source and a target, and the binary run in it.
//!
//! The journeys of one machine run against a server as well: a test target whose name begins with `server_` includes the same file, and
//! its worlds then put a server over the home, and run what a server can do from another home with `N2S_SERVER`. A target whose name
//! begins with `in_fleet_` includes it a third time: there the catalog is on PostgreSQL, the queue on RabbitMQ, staging in a bucket, and every
//! role is a process of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::return_self_not_must_use, reason = "assertions chain, and may end a chain")]

pub mod archive;
mod compare;
mod fleet;
mod held;
pub mod raw;
pub mod secrets;
mod server;
mod shared;

pub use compare::{assert_listed_same, assert_same, files, listed, listing};
pub use fleet::{Fleet, Member};
pub use held::{HeldPush, HeldStore, Running};

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use server::Server;
use shared::Shared;

/// A directory of its own for one test.
#[derive(Debug)]
pub struct World {
    // Dropped, and so ended, before its directory.
    server: Mutex<Option<Server>>,
    served: bool,
    /// What a fleet's home has elsewhere.
    shared: Option<Shared>,
    dir: TempDir,
    binary: &'static str,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// The answer of `--output json`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(self, wanted: i32) -> Self {
        assert_eq!(self.code, wanted, "{self:?}");
        self
    }

    /// Asserts that standard error says each of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "'{word}' is missing in {self:?}");
        }
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty world with a source directory; served, or by a fleet, when the test target's name says so.
    pub fn new() -> Self {
        if target_begins(b"in_fleet_") {
            return Self::in_fleet();
        }
        Self::of("n2s", tempfile::tempdir(), target_begins(b"server_"))
    }

    /// An empty world with a source directory, in which a fleet does what it can.
    pub fn in_fleet() -> Self {
        let mut world = Self::of("n2s", tempfile::tempdir(), true);
        let shared = Shared::new();
        world.write("home/config.toml", shared.config());
        world.shared = Some(shared);
        world.n2s(&["migrate"]).code(0);
        world
    }

    /// An empty world with a source directory, in which a server does what it can.
    pub fn served() -> Self {
        Self::of("n2s", tempfile::tempdir(), true)
    }

    /// An empty world with a source directory, for what no server has a part in.
    pub fn at_home() -> Self {
        Self::of("n2s", tempfile::tempdir(), false)
    }

    /// The same with the binary that can be killed between two steps, which notes what it does in `failpoints.log`. In memory where
    /// that is possible: a kill leaves what the kernel has, and hundreds of them do not wait for a disk.
    pub fn armed() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::of("n2s-failpoints", dir, false)
    }

    fn of(binary: &'static str, dir: std::io::Result<TempDir>, served: bool) -> Self {
        let world = Self { dir: dir.unwrap(), binary, served, shared: None, server: Mutex::new(None) };
        std::fs::create_dir(world.path("src")).unwrap();
        world
    }

    /// A world with two stores, `one` and `two`, beside its home.
    pub fn two_stores() -> Self {
        Self::new().with_two_stores()
    }

    /// Adds them.
    pub fn with_two_stores(self) -> Self {
        for name in ["one", "two"] {
            let path = self.path(name);
            self.n2s(&["backends", "add", name, "--path", path.to_str().unwrap()]).code(0);
        }
        self
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the home of whoever pushes and pulls.
    pub fn client(&self, name: &str) -> PathBuf {
        self.path(if self.served { "client" } else { "home" }).join(name)
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Makes what lies beside a target and must stay as it is, and lists it.
    pub fn outside(&self) -> String {
        self.write("outside/dir/victim", "untouched");
        self.write("outside/victim", "untouched");
        listed(&self.path("outside"))
    }

    /// The binary, set up for this world.
    pub fn command(&self, args: &[&str]) -> Command {
        self.set_up(Command::new(binary_named(self.binary)), args)
    }

    fn set_up(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("N2S_FAILPOINT_LOG", self.path("failpoints.log"))
            .env_remove("N2S_CONFIG")
            .env_remove("N2S_SERVER");
        if self.served && by_a_server(args) {
            let server = self.server();
            let server = server.as_ref().unwrap();
            command.env("N2S_HOME", self.path("client"));
            command.env("N2S_SERVER", &server.url).env("N2S_TOKEN", &server.token);
        } else {
            command.env("N2S_HOME", self.path("home")).env("N2S_API__LISTEN", "127.0.0.1:0");
        }
        command
    }

    /// The server, started when it is first needed, and again when the home's configuration has changed.
    pub fn server(&self) -> MutexGuard<'_, Option<Server>> {
        let mut server = self.server.lock().unwrap();
        if !server.as_ref().is_some_and(Server::is_current) {
            // The old one lets go of the home first.
            *server = None;
            *server = Some(Server::start(self.dir.path(), &[], self.shared.is_some()));
        }
        server
    }

    /// Starts the server with `N2S_…` settings.
    pub fn serve_with(&self, settings: &[(&str, &str)]) {
        let mut server = self.server.lock().unwrap();
        *server = None;
        *server = Some(Server::start(self.dir.path(), settings, self.shared.is_some()));
    }

    /// Runs the binary, for at most five minutes.
    pub fn n2s(&self, args: &[&str]) -> Ended {
        let mut bounded = Command::new("timeout");
        bounded.arg("300").arg(binary_named(self.binary));
        self.set_up(bounded, args).output().unwrap().into()
    }

    /// Runs the binary and reads its JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.n2s(&[args, &["--output", "json"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }

    /// Pushes `src` to project `p`, dataset `d`.
    pub fn push(&self, more: &[&str]) -> Ended {
        self.n2s(&[&["push", "--project", "p", "--dataset", "d"], more, &["src"]].concat())
    }

    /// Pulls project `p`, dataset `d` into a directory of the world.
    pub fn pull(&self, target: &str, more: &[&str]) -> Ended {
        self.n2s(&[&["pull", "--project", "p", "--dataset", "d", "--target", target], more].concat())
    }

    /// Starts the binary without waiting for it.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::spawn(self.command(args).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// The same, with what it says on standard error to be read line by line.
    pub fn start_listening(&self, args: &[&str]) -> Running {
        Running::spawn(self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// The rows that a query of the home's catalog gives, asked without n2s.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Value {
        if let Some(shared) = &self.shared {
            return shared.rows(sql);
        }
        let script = "import json, sqlite3, sys\n\
            db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n\
            print(json.dumps(db.execute(sys.argv[2]).fetchall()))";
        let mut python = Command::new("python3");
        let output = python.args(["-c", script]).arg(self.path("home/catalog.db")).arg(sql).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What lies in staging.
    fn staged(&self) -> Vec<PathBuf> {
        match &self.shared {
            Some(shared) => shared.staged(),
            None => files(&self.path("home/staging")),
        }
    }

    /// Takes the catalog away for good.
    pub fn lose_catalog(&self) {
        match &self.shared {
            Some(shared) => shared.lose_catalog(),
            None => std::fs::remove_file(self.path("home/catalog.db")).unwrap(),
        }
    }

    /// Adds a line to `[staging]` in the home's configuration.
    pub fn set_staging(&self, line: &str) {
        let config = self.path("home/config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let section = "[staging]\n";
        let text = if text.contains(section) { text } else { format!("{text}\n{section}") };
        std::fs::write(&config, text.replace(section, &format!("{section}{line}\n"))).unwrap();
    }

    /// Asserts that no counter of the catalog has drifted. What a killed process had finished and not freed, and what it left
    /// without a row, stays in staging until the sweeper's grace is over: `kills/` shows that it goes then.
    #[track_caller]
    pub fn settled_after_a_kill(&self) {
        assert_eq!(self.json(&["audit"])["drifts"], serde_json::json!([]));
    }

    /// Gives a server a minute to make something so; without one nothing goes on when a command has ended.
    fn eventually(&self, what: &str, so: impl Fn() -> bool) {
        if self.served {
            until(what, so);
        }
    }

    /// Asserts that, and that staging is empty, in the catalog and on the disk.
    #[track_caller]
    pub fn settled(&self) {
        self.settled_after_a_kill();
        // A server frees staging a moment after the push was told that all is placed.
        let staged = || self.json(&["status"])["staging"]["blobs"].clone();
        self.eventually("an empty staging area", || staged() == 0);
        assert_eq!(staged(), 0);
        self.eventually("an empty staging directory", || self.staged().is_empty());
        let staged = self.staged();
        assert!(staged.is_empty(), "staging holds {} files, such as {}", staged.len(), staged[0].display());
    }
}

/// Waits, for at most three minutes, until something is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_mins(3), "{what} did not happen");
        std::thread::yield_now();
    }
}

/// A served world, the server's address and a token for everything.
pub fn served() -> (World, String, String) {
    let world = World::served();
    let (url, token) = {
        let server = world.server();
        let server = server.as_ref().unwrap();
        (server.url.clone(), server.token.clone())
    };
    (world, url, token)
}

/// Whether a server can do it, or only a home.
fn by_a_server(args: &[&str]) -> bool {
    match args {
        ["backends", what, ..] => matches!(*what, "list" | "pause" | "resume" | "sync"),
        [what, ..] => {
            !matches!(*what, "keys" | "config" | "migrate" | "up" | "serve" | "completions" | "man")
        }
        [] => false,
    }
}

/// Who is to do the work is said by the test target's name.
fn target_begins(words: &[u8]) -> bool {
    let target = std::env::current_exe().unwrap();
    target.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(words))
}

/// The binary beside the test's own executable.
pub fn binary() -> PathBuf {
    binary_named("n2s")
}

/// One of the binaries beside the test's own executable.
pub fn binary_named(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    while dir.pop() {
        let candidate = dir.join(name);
        if candidate.is_file() {
            return candidate;
        }
    }
    panic!("{name} is not built; run `make test`, or `make test-binaries` first");
}
