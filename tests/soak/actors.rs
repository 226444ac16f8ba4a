//! Clients: each changes a tree of its own, pushes it through whichever intake, dies, comes back, takes over, gives up, asks, pulls.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use n2s_domain::{Entropy as _, SeededEntropy};
use n2s_tests::listed;
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::history::{Call, History, Told, What};
use crate::plan::{CLIENTS, Step, dice_of, step};

/// No call takes longer: it is killed then, as a person would.
const PATIENCE: Duration = Duration::from_mins(3);
/// Different contents of small files; few, so that datasets share them all the time.
const CONTENTS: u64 = 500;

/// One of them.
#[derive(Debug)]
pub struct Actor<'a> {
    ground: &'a Ground,
    history: &'a History,
    number: usize,
    dice: SeededEntropy,
    /// What it was told last, newest last.
    told: Vec<u64>,
    /// Whether its last push was told no version: then somebody else may hold the dataset, and it is taken over at times.
    refused: bool,
    calls: u64,
}

struct Ended {
    code: i32,
    answer: Option<Value>,
}

impl<'a> Actor<'a> {
    /// Makes its home, with the vault, and its first tree.
    pub fn new(ground: &'a Ground, history: &'a History, seed: u64, number: usize) -> Self {
        let actor = Self {
            ground,
            history,
            number,
            dice: dice_of(seed, number),
            told: Vec::new(),
            refused: false,
            calls: 0,
        };
        for home in [actor.home(false), actor.home(true)] {
            fs::create_dir(&home).unwrap();
            fs::copy(ground.fleet.world.path("home/vault"), home.join("vault")).unwrap();
        }
        fs::create_dir(actor.source()).unwrap();
        actor.change(60);
        actor
    }

    /// Goes on until somebody says that it is time, then pushes once more, whatever it takes.
    pub fn run(mut self, time: &AtomicBool, calm: &AtomicBool) {
        while !time.load(Ordering::SeqCst) {
            let next = step(&self.dice);
            self.act(next);
        }
        while !calm.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let start = Instant::now();
        while !self.push("last push", (false, &["--take-over"]), None) {
            assert!(start.elapsed() < 4 * PATIENCE, "{} can push no more", self.dataset());
        }
    }

    fn act(&mut self, next: Step) {
        match next {
            Step::Push { changes, wait, kill_ms } => {
                self.change(changes);
                let take_over = self.refused && self.below(2) == 0;
                let more: &[&str] = match (wait, take_over) {
                    (true, false) => &[],
                    (true, true) => &["--take-over"],
                    (false, false) => &["--no-wait"],
                    (false, true) => &["--no-wait", "--take-over"],
                };
                self.push(if kill_ms.is_some() { "push, killed" } else { "push" }, (false, more), kill_ms);
            }
            Step::TakeOver { changes } => {
                self.change(changes);
                self.push("push, taking over", (true, &["--take-over"]), None);
            }
            Step::Pull { latest, kill_ms } => {
                let version = if latest { None } else { self.drawn() };
                self.pull(version, kill_ms);
            }
            Step::Cancel { changes } => {
                self.change(changes);
                if self.push("push", (false, &["--no-wait"]), None) {
                    let status = self.other("status", &["changesets", "--limit", "1"]);
                    let newest =
                        |value: &Value| value["changesets"][0]["changeset"].as_str().map(str::to_owned);
                    if let Some(changeset) = status.answer.as_ref().and_then(newest) {
                        self.other("cancel", &["cancel", &changeset]);
                        self.other("retry", &["retry"]);
                    }
                }
            }
            Step::Ask => {
                for what in [&["status"][..], &["failed"], &["backends", "list"], &["changesets"]] {
                    self.other("ask", what);
                }
            }
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn drawn(&self) -> Option<u64> {
        let count = u64::try_from(self.told.len()).unwrap();
        (count > 0).then(|| self.told[usize::try_from(self.below(count)).unwrap()])
    }

    fn dataset(&self) -> &'static str {
        CLIENTS[self.number]
    }

    /// Its own, or that of somebody else who pushes the same dataset.
    fn home(&self, other: bool) -> PathBuf {
        let who = if other { "other" } else { "client" };
        self.ground.fleet.world.path(&format!("{who}-{}", self.number))
    }

    fn source(&self) -> PathBuf {
        self.ground.fleet.world.path(&format!("src-{}", self.number))
    }

    fn log(&self) -> PathBuf {
        self.ground.fleet.world.path(&format!("client-{}.log", self.number))
    }

    /// Changes so many of its files: a content that others may have, one of its own, a mode, or nothing any more.
    fn change(&self, files: u64) {
        for _ in 0..files {
            let dir = self.source().join(format!("{:02}", self.below(12)));
            fs::create_dir_all(&dir).unwrap();
            let file = dir.join(format!("file {}", self.below(25)));
            match self.below(10) {
                0 => drop(fs::remove_file(file)),
                1 if file.exists() => {
                    let mode = 0o600 + u32::try_from(self.below(8)).unwrap();
                    fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
                }
                2 => fs::write(file, noise(self.dice.next_u64(), self.below(20_000))).unwrap(),
                3 if self.below(8) == 0 => {
                    fs::write(file, noise(self.dice.next_u64(), 3_000_000)).unwrap();
                }
                _ => {
                    let content = self.below(CONTENTS);
                    fs::write(file, noise(content, content * 37 % 9_000)).unwrap();
                }
            }
        }
    }

    /// Whether it was told a version.
    fn push(&mut self, kind: &str, (other, more): (bool, &[&str]), kill_ms: Option<u64>) -> bool {
        let source = self.source();
        let tree = digest(&source);
        let begun_ms = self.history.begin(self.dataset(), kind, Some(&tree));
        let (project, dataset) = self.dataset().split_once('/').expect("it has two parts");
        let named = ["push", "--project", project, "--dataset", dataset, "--allow-mass-removal"];
        let client = ["--client-id", if other { "other" } else { "first" }];
        let source = source.display().to_string();
        let ended = self.call(other, &[&named[..], &client, more, &[source.as_str()]].concat(), kill_ms);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let told = ended.answer.and_then(|answer| {
            let (changeset, status) = (text(&answer["changeset"])?, text(&answer["status"])?);
            Some(Told { changeset, version: answer["version"].as_u64()?, status })
        });
        let is_told = told.is_some();
        self.refused = !is_told;
        self.told.extend(told.as_ref().map(|told| told.version));
        self.end(kind, begun_ms, ended.code, What::Push { tree, told });
        is_told
    }

    fn pull(&mut self, version: Option<u64>, kill_ms: Option<u64>) {
        let kind = if kill_ms.is_some() { "pull, killed" } else { "pull" };
        let begun_ms = self.history.begin(self.dataset(), kind, None);
        let target = self.ground.fleet.world.path(&format!("out-{}", self.number));
        let _ = fs::remove_dir_all(&target);
        let (code, tree) = self.pulled(version, &target, kill_ms);
        self.end(kind, begun_ms, code, What::Pull { version, tree });
    }

    fn pulled(
        &mut self,
        version: Option<u64>,
        target: &std::path::Path,
        kill_ms: Option<u64>,
    ) -> (i32, Option<String>) {
        let (project, dataset) = self.dataset().split_once('/').expect("it has two parts");
        let (into, number) = (target.display().to_string(), version.unwrap_or(0).to_string());
        let named = ["pull", "--project", project, "--dataset", dataset, "--target", &into];
        let which: &[&str] = if version.is_some() { &["--version", &number] } else { &[] };
        let ended = self.call(false, &[&named[..], which].concat(), kill_ms);
        (ended.code, (ended.code == 0).then(|| digest(target)))
    }

    fn other(&mut self, kind: &str, args: &[&str]) -> Ended {
        let begun_ms = self.history.begin(self.dataset(), kind, None);
        let ended = self.call(false, args, None);
        self.end(kind, begun_ms, ended.code, What::Other);
        ended
    }

    fn end(&self, kind: &str, begun_ms: u64, code: i32, what: What) {
        let (dataset, kind) = (self.dataset().to_owned(), kind.to_owned());
        self.history.end(Call { dataset, kind, begun_ms, ended_ms: self.history.now_ms(), code, what });
    }

    /// Runs the binary against one of the intakes, and reads what it answers.
    fn call(&mut self, other: bool, args: &[&str], kill_ms: Option<u64>) -> Ended {
        self.calls += 1;
        let home = self.home(other);
        let intake = usize::try_from((self.calls + u64::try_from(self.number).unwrap()) % 2).unwrap();
        let mut command: Command = self.ground.fleet.world.command(&[args, &["--output", "json"]].concat());
        command.env("N2S_HOME", &home).env("N2S_SERVER", &self.ground.urls[intake]);
        command.env("N2S_TOKEN", &self.ground.token).env("N2S_LOG", "info");
        let out = home.join("answer");
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(log).process_group(0);
        let patience = kill_ms.map_or(PATIENCE, Duration::from_millis);
        let code = ended_within(command.spawn().unwrap(), patience);
        let answer: Option<Value> = fs::read(&out).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if code > 0 {
            // Of standard error the last line says why.
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            self.history.note(json!({ "dataset": self.dataset(), "why": log.lines().last() }));
        }
        Ended { code, answer }
    }
}

fn ended_within(mut child: Child, patience: Duration) -> i32 {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > patience {
            // It may have ended by itself.
            let _ = child.kill();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A tree's digest: names, kinds, modes, owners, times, links and bytes.
pub fn digest(tree: &std::path::Path) -> String {
    n2s_envelope::content_hash(listed(tree).as_bytes()).to_hex()[..16].to_owned()
}

/// Bytes that do not compress.
fn noise(seed: u64, count: u64) -> Vec<u8> {
    let dice = SeededEntropy::new(seed);
    let words = std::iter::repeat_with(|| dice.next_u64().to_le_bytes());
    words.flatten().take(usize::try_from(count).unwrap()).collect()
}
