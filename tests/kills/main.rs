//! The process killed between any two steps, everything checked, and the same command run again.
//!
//! The binary is `n2s-failpoints`, which kills itself with SIGKILL where it is told to. A kill loses what the process had in
//! memory; every second one here also loses what a power cut may: names that no store has acknowledged yet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clock;
mod facts;
mod invariants;
mod random;
mod scenarios;
mod stage;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use n2s_failpoints::Point;
use n2s_tests::binary_named;

use scenarios::Scenario;
use stage::Stage;

/// Whether every hit of every point is tried, as by `make kills`.
fn thorough() -> bool {
    std::env::var_os("N2S_KILLS_ALL").is_some()
}

/// Kills a scenario's command at its points: at the first hit or in the middle of all hits, or at every one of them.
fn sweep(scenario: &Scenario) {
    let mut stage = Stage::new();
    (scenario.prepare)(&stage);
    let reached = stage.hits(scenario.args);
    let mut kills = 0_usize;
    for (point, hits) in reached {
        if !thorough() && !scenario.points.is_empty() && !scenario.points.contains(&point) {
            continue;
        }
        let once = if scenario.late { hits.div_ceil(2) } else { 1 };
        let chosen = if thorough() { 1..=hits } else { once..=once };
        for hit in chosen {
            kills += 1;
            let power = kills.is_multiple_of(2);
            kill(&stage, scenario, (point, hit));
            mend(&mut stage, scenario, power);
        }
    }
    assert!(kills >= scenario.points.len().max(1), "points of the scenario were not reached");
}

fn kill(stage: &Stage, scenario: &Scenario, (point, mut hit): (Point, u64)) {
    // How often a point is passed depends on how batches fall; the first hit always comes.
    loop {
        stage.restore();
        let at = format!("{}:{hit}", point.name());
        eprintln!("killed at {at}");
        let Some(ended) = stage.run(scenario.args, &[("N2S_FAILPOINT", &at)]) else { return };
        assert!(hit > 1, "{at} was never reached: {ended:?}");
        hit /= 2;
    }
}

/// Checks what the kill left, runs the same command again, and checks what that made of it.
fn mend(stage: &mut Stage, scenario: &Scenario, power: bool) {
    if power {
        eprintln!("… and a power cut");
        stage.lose_unacknowledged();
    }
    let wreck = stage.wreck();
    invariants::completed_means_readable(stage, &wreck.facts);
    invariants::a_header_means_the_whole_version(stage, &wreck.facts);
    let ended = stage.run(scenario.args, &[]).unwrap();
    if ended.code == 2 && stage.log().contains("fired pull.ended") {
        // All is restored but the times of the root, and nothing tells the target from anybody's directory.
        ended.says(&["--force"]);
        stage.run(&[scenario.args, &["--force"]].concat(), &[]).unwrap().code(0);
    } else {
        ended.code(0);
    }
    invariants::nothing_uploaded_twice(stage, &wreck);
    match scenario.args[0] {
        "keys" => drop(stage.world.push(&[]).code(0)),
        "backends" => invariants::both_stores_have_everything(stage),
        "pull" => n2s_tests::assert_same(&stage.world.path("src"), &stage.world.path("out")),
        _ => {}
    }
    let now = invariants::nothing_lost(stage, &wreck);
    invariants::versions_come_back(stage, &now);
    invariants::staging_empties(stage);
}

#[test]
fn every_point_is_reached_by_some_command() {
    let elsewhere = [scenarios::SWEEPING, scenarios::IN_A_FLEET].concat();
    let mut reached: BTreeSet<_> = elsewhere.into_iter().collect();
    for scenario in scenarios::ALL {
        let stage = Stage::new();
        (scenario.prepare)(&stage);
        reached.extend(stage.hits(scenario.args).into_keys());
    }
    let missed: Vec<_> = Point::ALL.iter().filter(|point| !reached.contains(point)).collect();
    assert!(missed.is_empty(), "no scenario reaches {missed:?}");
}

#[test]
fn killed_anywhere_in_a_first_push() {
    sweep(&scenarios::FIRST_PUSH);
}

#[test]
fn killed_anywhere_in_a_second_push() {
    sweep(&scenarios::SECOND_PUSH);
}

#[test]
fn killed_anywhere_in_a_pull() {
    sweep(&scenarios::A_PULL);
}

#[test]
fn killed_anywhere_in_a_rotation_of_keys() {
    sweep(&scenarios::ROTATION);
}

#[test]
fn killed_in_taking_a_push_over() {
    sweep(&scenarios::TAKING_OVER);
}

#[test]
fn killed_anywhere_in_a_sync() {
    sweep(&scenarios::SYNCING);
}

#[test]
fn killed_with_staging_above_its_mark() {
    sweep_sweeper(&scenarios::FULL_STAGING, "0");
}

#[test]
fn killed_in_sweeping_orphans() {
    sweep_sweeper(&scenarios::ORPHANS, "90000");
}

/// Kills `n2s up`, with its clock set forward, and lets the push go on that came before.
fn sweep_sweeper(scenario: &Scenario, ahead_secs: &str) {
    let mut stage = Stage::new();
    (scenario.prepare)(&stage);
    for (point, power) in scenario.points.iter().zip([false, true]) {
        stage.restore();
        let env = [("N2S_CLOCK_OFFSET_SECS", ahead_secs), ("N2S_FAILPOINT", point.name())];
        assert!(stage.run(&["up"], &env).is_none());
        stage.world.n2s(&["backends", "resume", "two"]).code(0);
        mend(&mut stage, scenario, power);
    }
}

/// A file named for the process that writes it is found by the next one, which has the same number.
#[test]
fn killed_where_every_process_has_the_same_number() {
    use Point::{
        CacheWritten, ConfigWritten, LocalSynced, LocalWritten, PullDrafted, StagingWritten, VaultWritten,
    };
    let pushed = [VaultWritten, ConfigWritten, StagingWritten, LocalWritten, LocalSynced, CacheWritten];
    for (scenario, points) in [(scenarios::FIRST_PUSH, &pushed[..]), (scenarios::A_PULL, &[PullDrafted])] {
        let mut stage = Stage::new();
        (scenario.prepare)(&stage);
        stage.contained = true;
        for point in points {
            kill(&stage, &scenario, (*point, 1));
            mend(&mut stage, &scenario, false);
        }
    }
}

#[test]
fn only_the_binary_of_the_tests_can_be_killed_this_way() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-failpoints.sh");
    let passes =
        |name: &str| Command::new(&script).arg(binary_named(name)).output().unwrap().status.success();
    assert!(passes("n2s"), "n2s has failpoints");
    assert!(!passes("n2s-failpoints"), "the script finds none where there are");
}
