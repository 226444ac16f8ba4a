//! Several processes on one home, and processes that die. Each is held at a known point while the others act.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::{HeldPush, HeldStore, World, assert_same, files, until};

const PUSH: [&str; 6] = ["push", "--project", "p", "--dataset", "d", "src"];

fn push_of<'a>(dataset: &'a str, source: &'a str) -> [&'a str; 6] {
    ["push", "--project", "p", "--dataset", dataset, source]
}

/// A world with version 1 of `d`, and changes that are not pushed yet.
fn changed() -> World {
    let world = World::new();
    (0..30).for_each(|n| world.write(&format!("src/{}/{n}", n % 3), format!("content {n}")));
    world.push(&[]).code(0);
    (0..30).step_by(2).for_each(|n| world.write(&format!("src/{}/{n}", n % 3), format!("changed {n}")));
    world.write("src/new", "new");
    world
}

/// The newest changeset of `d`: its version and status.
fn newest(world: &World) -> (u64, String) {
    let all = world.json(&["changesets", "--project", "p", "--dataset", "d"]);
    let newest = &all["changesets"][0];
    (newest["version"].as_u64().unwrap(), newest["status"].as_str().unwrap().to_owned())
}

fn is_committed(world: &World, version: u64) -> bool {
    let heads = world.json(&["status"]);
    let head = |dataset: &&serde_json::Value| dataset["dataset"] == "d";
    heads["datasets"].as_array().unwrap().iter().find(head).is_some_and(|dataset| dataset["head"] == version)
}

/// What was pushed last is what the source holds.
#[track_caller]
fn comes_back(world: &World) {
    world.settled_after_a_kill();
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn two_pushes_of_one_dataset_do_not_mix() {
    let world = changed();
    let first = HeldPush::start(&world, &PUSH);
    let says = ["another process of this home is pushing p/d", "wait for it"];
    world.push(&["--take-over"]).code(1).says(&says);
    world.write("other/file", "of the second push");
    world.n2s(&push_of("d", "other")).code(1).says(&says);
    assert_eq!(
        newest(&world),
        (2, "pending".to_owned()),
        "the second push opened a version, or ended the first's"
    );
    first.go_on().wait().code(0);
    assert_eq!(newest(&world), (2, "completed".to_owned()));
    comes_back(&world);
    world.settled();
}

#[test]
fn a_push_of_another_dataset_completes_while_one_is_held() {
    let world = changed();
    let first = HeldPush::start(&world, &PUSH);
    world.write("other/file", "of the second push");
    world.n2s(&push_of("e", "other")).code(0);
    world.n2s(&["pull", "--project", "p", "--dataset", "e", "--target", "second"]).code(0);
    assert_same(&world.path("other"), &world.path("second"));
    assert_eq!(newest(&world), (2, "pending".to_owned()));
    first.go_on().wait().code(0);
    comes_back(&world);
    world.settled();
}

#[test]
fn two_pushes_of_different_datasets_at_once_both_complete() {
    let world = World::new();
    (0..400).for_each(|n| world.write(&format!("src/{}/{n}", n % 7), format!("content {n} ").repeat(400)));
    for push in ["d", "e"].map(|dataset| world.start(&push_of(dataset, "src"))) {
        push.wait().code(0);
    }
    comes_back(&world);
    world.settled();
}

#[test]
fn after_the_holder_was_killed_the_same_dataset_is_pushed_at_once() {
    let world = changed();
    HeldPush::start(&world, &PUSH).kill();
    assert_eq!(newest(&world), (2, "pending".to_owned()));
    world.write("src/later", "between the kill and the next push");
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!((&again["version"], &again["resumed"]), (&2.into(), &true.into()), "{again}");
    comes_back(&world);
}

#[test]
fn after_the_holder_was_killed_another_client_is_told_and_may_take_over() {
    let world = changed();
    HeldPush::start(&world, &[&PUSH[..], &["--client-id", "first"]].concat()).kill();
    let other = ["--client-id", "second"];
    world.push(&other).code(1).says(&["another push of this dataset is open", "by first", "--take-over"]);
    let taken = world.push(&[&other[..], &["--take-over", "--output", "json"]].concat()).code(0).json();
    assert_eq!(taken["version"], 3, "a version number was used again: {taken}");
    comes_back(&world);
}

/// A file that takes minutes to read stands at the end of the source: the push is killed while it reads, with everything before
/// it recorded and stored.
#[test]
fn a_push_killed_in_its_middle_goes_on_where_it_was() {
    let world = World::new();
    (0..600).for_each(|n| world.write(&format!("src/{n}"), format!("content {n}")));
    let endless = fs::File::create(world.path("src/z-endless")).unwrap();
    endless.set_len(1 << 42).unwrap();
    let push = world.start(&PUSH);
    until("most uploads", || files(&world.path("home/store/blobs")).len() > 500);
    push.kill();
    assert!(!is_committed(&world, 1));
    endless.set_len(3).unwrap();
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!((&again["version"], &again["resumed"]), (&1.into(), &true.into()), "{again}");
    assert!(again["sent_bytes"].as_u64().unwrap() < 100_000, "what is stored was sent again: {again}");
    comes_back(&world);
}

#[test]
fn a_version_whose_push_was_killed_after_its_commit_is_never_lost() {
    let world = changed();
    let store = HeldStore::new(&world, "home/store");
    let push = world.start(&PUSH);
    until("the commit", || is_committed(&world, 2));
    push.kill();
    store.release();
    let (kept, stored) = (world.path("kept"), files(&world.path("home/store")));
    fs::rename(world.path("src"), &kept).unwrap();
    assert_eq!(newest(&world), (2, "pushing".to_owned()));
    // Neither the source nor the process is there any more: staging and catalog are all it takes.
    let engine = world.start(&["up"]);
    until("the upload", || newest(&world) == (2, "completed".to_owned()));
    engine.kill();
    assert!(files(&world.path("home/store")).len() > stored.len());
    fs::rename(&kept, world.path("src")).unwrap();
    comes_back(&world);
}

#[test]
fn a_push_takes_over_when_the_engine_dies() {
    let world = changed();
    let store = HeldStore::new(&world, "home/store");
    let mut engine = world.start_listening(&["up"]);
    assert!(engine.line().unwrap().starts_with("running"));
    let push = world.start(&PUSH);
    until("the commit", || is_committed(&world, 2));
    assert_eq!(newest(&world), (2, "pushing".to_owned()), "the store was not held");
    store.release();
    engine.kill();
    push.wait().code(0);
    comes_back(&world);
}

#[test]
fn a_waiting_engine_takes_over_when_a_push_that_ran_it_dies() {
    let world = changed();
    let store = HeldStore::new(&world, "home/store");
    let push = HeldPush::start(&world, &PUSH);
    let mut engine = world.start_listening(&["up"]);
    assert!(engine.line().unwrap().starts_with("watching"), "two engines on one home");
    let push = push.go_on();
    until("the commit", || is_committed(&world, 2));
    store.release();
    push.kill();
    until("the upload", || newest(&world) == (2, "completed".to_owned()));
    engine.kill();
    comes_back(&world);
}
