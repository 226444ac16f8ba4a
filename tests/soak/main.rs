//! `make soak`: everything at once, for ten minutes, against a real fleet, and then whether what clients were told was true.
//!
//! `SOAK_SECONDS` changes how long, `SOAK_SEED` brings a plan back, `SOAK_DIR` names where the history goes. The same seed is the same plan of what is
//! done, by clients and to the fleet; threads and processes still fall as they fall.
//!
//! Rejected: Jepsen and its like, which know consensus and registers; what is promised here is simpler (a version, once told, is there, is
//! completed, and is that tree) and needs trees compared, which they do not do.

#![expect(clippy::unwrap_used, reason = "a soak fails by panicking")]

mod actors;
mod checker;
mod facts;
mod faults;
mod ground;
mod history;
mod leaks;
mod plan;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use n2s_domain::{Entropy as _, SystemEntropy};

use crate::actors::Actor;
use crate::faults::Havoc;
use crate::ground::{Ground, prepare};
use crate::history::History;
use crate::plan::{CLIENTS, deeds};
use crate::report::say;

/// What may take so long after the last fault, at most.
const CALM: Duration = Duration::from_mins(6);

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("SOAK_SEED").unwrap_or_else(|| SystemEntropy.next_u64() % 1_000_000);
    let secs = number("SOAK_SECONDS").unwrap_or(600);
    let dir = std::env::var_os("SOAK_DIR")
        .map_or_else(|| std::env::temp_dir().join(format!("n2s-soak-{seed}")), PathBuf::from);
    std::fs::create_dir_all(&dir).unwrap();
    say(&format!(
        "SOAK_SEED={seed} SOAK_SECONDS={secs}; the history is {}",
        dir.join("history.jsonl").display()
    ));
    let (ground, targets) = prepare();
    let history = History::new(&dir.join("history.jsonl"));
    let mut havoc = Havoc::new(targets, &ground, &history);
    let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        soak(&ground, &mut havoc, &history, (seed, secs), &dir)
    }));
    if kept.as_ref().is_ok_and(|kept| *kept) {
        return ExitCode::SUCCESS;
    }
    report::keep(&ground.fleet.world, &dir);
    say(&format!("SOAK_SEED={seed} failed; history and logs are in {}", dir.display()));
    ExitCode::FAILURE
}

/// Whether every promise was kept.
fn soak(
    ground: &Ground,
    havoc: &mut Havoc<'_>,
    history: &History,
    (seed, secs): (u64, u64),
    dir: &Path,
) -> bool {
    let flags = [AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false)];
    let [time, calm, over] = &flags;
    let (seen, looks) = std::thread::scope(|scope| {
        // Whoever panics lets the others end.
        let _ends = Ends(&flags);
        let watch = scope.spawn(|| leaks::in_processes(&ground.fleet.world, &ground.secrets, over));
        let actors: Vec<_> = (0..CLIENTS.len())
            .map(|number| scope.spawn(move || Actor::new(ground, history, seed, number).run(time, calm)))
            .collect();
        carry_out(havoc, history, (seed, secs));
        time.store(true, Ordering::SeqCst);
        havoc.mend();
        say("no more faults; everybody pushes once more");
        calm.store(true, Ordering::SeqCst);
        for actor in actors {
            actor.join().unwrap();
        }
        settle(ground);
        over.store(true, Ordering::SeqCst);
        watch.join().unwrap()
    });
    assert!(looks > 0, "nobody looked at the processes");
    say("pulling every version, and looking at every copy");
    let (facts, calls) = (facts::gather(ground, havoc, seen), history.calls());
    let violations = checker::check(&calls, &facts);
    let mut summary = report::summary(&calls, &facts, havoc, &violations);
    summary["seed"] = seed.into();
    summary["seconds"] = secs.into();
    let text = serde_json::to_string_pretty(&summary).unwrap();
    std::fs::write(dir.join("summary.json"), &text).unwrap();
    say(&text);
    violations.is_empty()
}

struct Ends<'a>(&'a [AtomicBool; 3]);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
    }
}

fn carry_out(havoc: &mut Havoc<'_>, history: &History, (seed, secs): (u64, u64)) {
    let mut told_ms = 0;
    for planned in deeds(seed, secs) {
        while history.now_ms() < planned.at_ms {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        // What takes long, such as a broker's start, puts the rest off; the end stays where it is.
        if history.now_ms() > secs * 1_000 {
            break;
        }
        havoc.carry_out(planned.deed);
        if history.now_ms() > told_ms + 15_000 {
            told_ms = history.now_ms();
            let (calls, done) = (history.calls(), havoc.done.values().sum::<u64>());
            let told = report::acknowledged(&calls);
            say(&format!(
                "{:4} s: {} calls, {told} versions told, {done} deeds",
                told_ms / 1_000,
                calls.len()
            ));
        }
    }
}

/// Waits until nothing is left to do. What was given up by hand is taken up by hand; a damage that the validator has found is replaced by itself.
fn settle(ground: &Ground) {
    let start = Instant::now();
    let world = &ground.fleet.world;
    let retried = world.n2s(&["retry"]);
    say(&format!("retry: {}", retried.out.trim()));
    for dataset in CLIENTS {
        let (project, dataset) = dataset.split_once('/').expect("it has two parts");
        let args = ["validate", "--project", project, "--dataset", dataset];
        while world.n2s(&args).code != 0 && start.elapsed() < CALM {
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }
    let mut left = facts::left(ground);
    while left.iter().any(|(_, count)| *count > 0) && start.elapsed() < CALM {
        std::thread::park_timeout(Duration::from_millis(200));
        left = facts::left(ground);
    }
    say(&format!("settled after {} s: {left:?}", start.elapsed().as_secs()));
}
