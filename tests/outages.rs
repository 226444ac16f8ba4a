//! Stores that are away: never begun anew, never in the way of the others, and caught up when they come back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::{World, assert_same, files};

/// A version on two stores, a change that is not pushed yet, and `two` somewhere else.
fn without_two(world: World) -> World {
    let world = world.with_two_stores();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    world.write("src/c", "gamma");
    world
}

/// The store comes back: the next push, which has nothing new, brings it what it missed.
#[track_caller]
fn catches_up(world: &World) {
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    world.push(&[]).code(0);
    world.settled();
    let names = |store: &str| {
        let root = world.path(store).join("blobs");
        files(&root).into_iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("one"), names("two"));
    world.pull("out", &["--from", "two"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_store_whose_directory_is_gone_is_refused_and_catches_up_when_it_is_back() {
    let world = without_two(World::new());
    let stuck = world.push(&[]).code(1);
    let path = world.path("two").display().to_string();
    for word in ["two", &path, "is not there", "catches up"] {
        assert!(stuck.out.contains(word), "'{word}' is missing in {stuck:?}");
    }
    assert!(!world.path("two").exists(), "a missing store was made anew");
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]), "an outage cost a blob its budget");
    // Neither asking nor pulling makes it, and what it lacks comes from the other.
    world.json(&["status"]);
    world.pull("meanwhile", &["--from", "two"]).code(0);
    assert!(world.path("meanwhile/c").exists() && !world.path("two").exists());
    catches_up(&world);
}

#[test]
fn a_pull_says_once_that_a_store_is_gone_and_names_each_damaged_copy() {
    let world = World::two_stores();
    let names = ["a", "b", "c"];
    for name in names {
        world.write(&format!("src/{name}"), name);
    }
    world.push(&[]).code(0);
    fs::rename(world.path("one"), world.path("elsewhere")).unwrap();
    let told = world.pull("out", &["--from", "one"]).code(0).err;
    assert_eq!(told.matches("is not there").count(), 1, "{told}");
    assert!(told.contains("one could not be read") && told.contains("3 copies"), "{told}");
    assert!(!told.contains("n2s validate"), "an outage is not damage: {told}");
    assert_same(&world.path("src"), &world.path("out"));
    let report = world.pull("again", &["--from", "one", "--output", "json"]).code(0).json();
    let outage = &report["bad_copies"][0];
    assert_eq!((&outage["kind"], &outage["objects"]), (&"misconfigured".into(), &3.into()), "{report}");

    fs::rename(world.path("elsewhere"), world.path("one")).unwrap();
    for blob in files(&world.path("one").join("blobs")) {
        fs::write(blob, "rot").unwrap();
    }
    let told = world.pull("damaged", &["--from", "one"]).code(0).err;
    assert_eq!(told.matches("a damaged or missing copy on one").count(), 3, "{told}");
    assert_same(&world.path("src"), &world.path("damaged"));
}

#[test]
fn a_store_that_is_not_mounted_is_never_begun_anew() {
    // Of commands that find it so. An engine that was at work when the disk went away looks for the marker after a batch, and takes
    // nothing of it for stored: `services/worker/tests` shows that.
    let world = without_two(World::at_home());
    fs::create_dir(world.path("two")).unwrap();
    let stuck = world.push(&[]).code(1);
    assert!(stuck.out.contains("two") && stuck.out.contains("catches up"), "{stuck:?}");
    assert_eq!(files(&world.path("two")), Vec::<std::path::PathBuf>::new(), "a mount point was written to");
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]), "an outage cost a blob its budget");
    fs::remove_dir(world.path("two")).unwrap();
    catches_up(&world);
}

#[test]
fn a_missing_store_does_not_keep_the_other_waiting() {
    let world = without_two(World::new());
    world.push(&[]).code(1);
    let rows = world.json(&["backends", "list"]);
    let row = |name: &str| {
        rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
    };
    assert_eq!(row("one")["pending"], 0);
    assert!(row("two")["pending"].as_u64().unwrap() > 0);
    world.pull("meanwhile", &["--from", "one"]).code(0);
    assert!(world.path("meanwhile/c").exists());
    catches_up(&world);
}
