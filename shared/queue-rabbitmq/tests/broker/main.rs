//! The queue against a real broker. One node serves all cases, each in a vhost of its own; they run one after the other,
//! because some kill it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod disasters;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};
use world::World;

type Case = fn(&mut World);
/// Started by the first case that runs.
type Shared = Arc<Mutex<Option<World>>>;

fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "lapin=off".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let world = Arc::new(Mutex::new(None));
    let cases: Vec<_> = cases::all().into_iter().chain(disasters::all()).collect();
    let trials = if std::env::var_os("NEXTEST").is_some() {
        // It runs a process per test, and a node per case would take minutes.
        vec![together(cases, Arc::clone(&world))]
    } else {
        cases.into_iter().map(|(name, case)| trial(name, case, Arc::clone(&world))).collect()
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Exiting runs no destructors, and the node must not outlive the tests.
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit();
}

fn trial(name: &str, case: Case, world: Shared) -> Trial {
    Trial::test(name, move || {
        run(case, &world);
        Ok(())
    })
}

fn run(case: Case, world: &Shared) {
    // A case that failed has poisoned the lock; the next one takes the node as it was left.
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    case(world.get_or_insert_with(World::start));
}

/// All cases as one test, which names those that failed.
fn together(cases: Vec<(&'static str, Case)>, world: Shared) -> Trial {
    Trial::test("broker", move || {
        let failed = |case| catch_unwind(AssertUnwindSafe(|| run(case, &world))).is_err();
        let mut names = Vec::new();
        for (name, case) in cases {
            eprintln!("case {name}");
            if failed(case) {
                names.push(name);
            }
        }
        if names.is_empty() { Ok(()) } else { Err(Failed::from(format!("failed: {}", names.join(", ")))) }
    })
}
