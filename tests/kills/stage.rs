//! A world that is put back to where it was before each kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use n2s_failpoints::Point;
use n2s_tests::{Ended, World};

use crate::facts::{Facts, Reader};

/// A place for one scenario's kills.
#[derive(Debug)]
pub struct Stage {
    pub world: World,
    /// Whether every process of `run` has the same number, as in containers.
    pub contained: bool,
    reader: Reader,
}

/// What a killed command left behind, before anything runs again.
#[derive(Debug)]
pub struct Wreck {
    /// What the catalog says.
    pub facts: Facts,
    /// The length of the log.
    logged: usize,
}

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is kept of the world from one kill to the next: the trees, and the snapshot itself.
const KEPT: &[&str] = &["src", "v1", "snapshot"];

impl Stage {
    pub fn new() -> Self {
        Self { world: World::armed(), contained: false, reader: Reader::start() }
    }

    /// Notes what there is, for `restore`.
    pub fn snapshot(&self) {
        let to = self.world.path("snapshot");
        fs::create_dir(&to).unwrap();
        for name in self.names().iter().filter(|name| !KEPT.contains(&name.as_str())) {
            copy(&self.world.path(name), &to.join(name));
        }
    }

    /// Puts everything back to the snapshot, under the same paths.
    pub fn restore(&self) {
        for name in self.names().iter().filter(|name| !KEPT.contains(&name.as_str())) {
            let path = self.world.path(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        for entry in fs::read_dir(self.world.path("snapshot")).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &self.world.path(entry.file_name().to_str().unwrap()));
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.path(".")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Runs a command with some variables set. `None` when a failpoint killed it, which the log must bear out.
    pub fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Option<Ended> {
        let mut command = self.world.command(args);
        if self.contained {
            command = contained(&command);
        }
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{args:?} hangs: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let output = child.wait_with_output().unwrap();
        if output.status.signal() == Some(9) || output.status.code() == Some(128 + 9) {
            let log = self.log();
            assert!(log.lines().any(|line| line.starts_with("fired ")), "killed by somebody else");
            return None;
        }
        Some(output.into())
    }

    /// How often each point is passed when a command runs unharmed.
    pub fn hits(&self, args: &[&str]) -> BTreeMap<Point, u64> {
        self.restore();
        let before = self.log().len();
        self.run(args, &[]).unwrap().code(0);
        let mut hits = BTreeMap::new();
        for name in self.log()[before..].lines().filter_map(|line| line.strip_prefix("hit ")) {
            *hits.entry(Point::named(name).unwrap()).or_default() += 1;
        }
        hits
    }

    /// What there is after a kill.
    pub fn wreck(&mut self) -> Wreck {
        Wreck { facts: self.facts(), logged: self.log().len() }
    }

    /// What the catalog says now.
    pub fn facts(&mut self) -> Facts {
        self.reader.read(&self.world)
    }

    /// What `failpoints.log` holds.
    pub fn log(&self) -> String {
        fs::read_to_string(self.world.path("failpoints.log")).unwrap_or_default()
    }

    /// What stores were given since the wreck.
    pub fn puts_since(&self, wreck: &Wreck) -> BTreeSet<(String, String)> {
        objects(&self.log()[wreck.logged..], "put ")
    }

    /// Takes away what a power cut could take on top of a kill: names that were given but not acknowledged.
    pub fn lose_unacknowledged(&self) {
        let log = self.log();
        let acknowledged = objects(&log, "stored ");
        for (store, key) in objects(&log, "put ").difference(&acknowledged) {
            // It may never have had its name.
            let _ = fs::remove_file(self.place(store).join(key));
        }
    }

    /// Where a store of this world lies.
    pub fn place(&self, store: &str) -> PathBuf {
        match store {
            "staging" => self.world.path("home"),
            "local" => self.world.path("home/store"),
            name => self.world.path(name),
        }
    }
}

fn objects(log: &str, what: &str) -> BTreeSet<(String, String)> {
    let lines = log.lines().filter_map(|line| line.strip_prefix(what));
    let object = |line: &str| line.split_once(' ').map(|(store, key)| (store.to_owned(), key.to_owned()));
    lines.filter_map(object).collect()
}

/// The same in a PID namespace: process 2, because nobody can kill process 1 from inside.
fn contained(command: &Command) -> Command {
    let flags = if rustix::process::geteuid().is_root() { "-pf" } else { "-rpf" };
    let mut outer = Command::new("unshare");
    outer.args([flags, "--kill-child", "sh", "-c", "\"$0\" \"$@\"; exit $?"]).arg(command.get_program());
    outer.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.current_dir(command.get_current_dir().unwrap());
    outer
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
