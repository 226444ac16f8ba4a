//! Several processes on one home, and processes that die.

use std::time::{Duration, Instant};

use n2s_tests::{World, assert_same, files};

/// Waits, for at most a minute, until something is so.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what} did not happen");
        std::thread::yield_now();
    }
}

fn many_files(world: &World) {
    (0..800).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
}

#[test]
fn a_killed_push_goes_on_where_it_was() {
    let world = World::new();
    many_files(&world);
    let mut child = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("an upload", || !files(&world.path("home/store/blobs")).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!(again["version"], 1, "the interrupted version was not resumed: {again}");
    world.settled_after_a_kill();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn another_process_takes_over_when_the_engine_dies() {
    let world = World::new();
    world.write("src/first", "1");
    world.push(&[]).code(0);
    many_files(&world);
    let mut engine = world.start(&["up"]);
    let mut push = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("an upload", || files(&world.path("home/store/blobs")).len() > 10);
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert!(push.wait().unwrap().success(), "the push did not take the engine over");
    world.settled_after_a_kill();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn two_pushes_of_different_datasets_at_once_both_complete() {
    let world = World::new();
    many_files(&world);
    let push = |dataset: &str| world.start(&["push", "--project", "p", "--dataset", dataset, "src"]);
    let mut both = [push("d"), push("e")];
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    world.settled();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn two_pushes_of_one_dataset_do_not_mix() {
    let world = World::new();
    many_files(&world);
    let mut first = world.start(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("the first push", || {
        !files(&world.path("home/pushes")).is_empty() && !files(&world.path("home/staging")).is_empty()
    });
    let second = world.push(&[]);
    if second.code != 0 {
        second.code(1).says(&["another process of this home is pushing p/d"]);
    }
    assert!(first.wait().unwrap().success());
    world.settled();
}
