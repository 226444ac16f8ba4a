//! What is measured: n2s, and what people use today, each as its manual says for an encrypted store on a local disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The first push.
    First,
    /// A push of the same.
    Unchanged,
    /// A push with 1 % changed.
    Changed,
    /// Everything back, into an empty directory.
    Pull,
}

/// A program that pushes and pulls.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// When it makes sure that bytes are on the disk.
    pub durability: &'static str,
    /// Whether its failure is ours.
    pub is_ours: bool,
    binary: PathBuf,
    prepare: &'static [&'static str],
}

/// What n2s is measured beside.
pub const PEERS: [&str; 4] = ["restic", "rustic", "borg", "rclone"];

const PASSWORD: &str = "load test";

/// Where `peers.sh` puts what no package has, else wherever the shell finds it.
pub fn installed(name: &str) -> PathBuf {
    let ours = Path::new("target/peers/bin").join(name);
    if ours.is_file() { std::path::absolute(ours).unwrap_or_else(|_| name.into()) } else { name.into() }
}

/// All, n2s first.
pub fn all(n2s: &Path) -> Vec<Program> {
    let peer = |name, durability, prepare| Program {
        name,
        durability,
        is_ours: false,
        binary: installed(name),
        prepare,
    };
    vec![
        Program {
            name: "n2s",
            durability: "every object is on the disk before it counts; the catalog waits for the disk at each commit",
            is_ours: true,
            binary: n2s.to_owned(),
            prepare: &[],
        },
        peer("restic", "fsync of each pack file", &["init"]),
        peer("rustic", "fsync of each pack file", &["init"]),
        peer("borg", "fsync of each segment file", &["init", "--encryption", "repokey-blake2"]),
        peer("rclone", "no fsync", &[]),
    ]
}

/// What n2s's catalog takes on the disk.
pub fn catalog_bytes(store: &Path) -> u64 {
    let files = ["catalog.db", "catalog.db-wal"].map(|name| store.join("home").join(name));
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|found| found.len()).sum()
}

impl Program {
    /// The first line of `--version`, if the program is there.
    pub fn version(&self) -> Option<String> {
        let argument = if matches!(self.name, "restic" | "rclone") { "version" } else { "--version" };
        let output = Command::new(&self.binary).arg(argument).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
    }

    /// Makes its store in the empty directory `store`.
    pub fn prepare(&self, store: &Path) -> Result<()> {
        if self.prepare.is_empty() {
            return Ok(());
        }
        let output = self.command(store)?.args(self.prepare).output().context("it does not start")?;
        ensure!(output.status.success(), "no store: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// The command of a push; with a target, of the pull of what that push recorded.
    pub fn step(&self, step: Step, source: &Path, store: &Path, target: Option<&Path>) -> Result<Command> {
        let mut command = self.command(store)?;
        match (self.name, target) {
            ("n2s", None) => command.args(["push", "--project", "load", "--dataset", "test"]).arg(source),
            ("n2s", Some(target)) => {
                command.args(["pull", "--project", "load", "--dataset", "test", "--target"]).arg(target)
            }
            ("restic" | "rustic", None) => command.args(["backup", "."]).current_dir(source),
            ("restic", Some(target)) => command.args(["restore", "latest", "--target"]).arg(target),
            ("rustic", Some(target)) => command.args(["restore", "latest"]).arg(target),
            ("borg", None) => command.arg("create").arg(format!("::{step:?}")).arg(".").current_dir(source),
            ("borg", Some(target)) => {
                std::fs::create_dir(target)?;
                command.arg("extract").arg(format!("::{step:?}")).current_dir(target)
            }
            ("rclone", None) => command.arg("sync").arg(source).arg("crypt:"),
            (_, Some(target)) => command.args(["copy", "crypt:"]).arg(target),
            (name, None) => unreachable!("{name} is not in the list above"),
        };
        Ok(command)
    }

    /// The program with its store and password in the environment, so that none of them reads its user's settings.
    fn command(&self, store: &Path) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        command.env("HOME", store).env("XDG_CACHE_HOME", store.join("cache"));
        let repository = store.join("repository");
        match self.name {
            "n2s" => command.env("N2S_HOME", store.join("home")),
            "restic" => command.env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", PASSWORD),
            "rustic" => command.env("RUSTIC_REPOSITORY", repository).env("RUSTIC_PASSWORD", PASSWORD),
            "borg" => command.env("BORG_REPO", repository).env("BORG_PASSPHRASE", PASSWORD),
            _ => {
                let obscured = Command::new(&self.binary).args(["obscure", PASSWORD]).output()?.stdout;
                let obscured = String::from_utf8(obscured)?;
                command
                    .env("RCLONE_CONFIG_CRYPT_TYPE", "crypt")
                    .env("RCLONE_CONFIG_CRYPT_REMOTE", repository)
                    .env("RCLONE_CONFIG_CRYPT_PASSWORD", obscured.trim())
            }
        };
        Ok(command)
    }
}
