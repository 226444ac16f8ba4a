//! A catalog restored from an older copy of itself: the stores hold versions it knows nothing of, and their numbers are stepped over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use n2s_tests::{Ended, World, assert_same};
use serde_json::json;

/// Two versions of `d` and one of `e` have been pushed since the copy was made.
fn restored() -> World {
    let world = World::at_home();
    world.write("src/a", "one");
    world.push(&[]).code(0);
    catalog(&world, "home", "copy");
    for text in ["two", "three"] {
        world.write("src/b", text);
        world.push(&[]).code(0);
    }
    push_e(&world).code(0);
    catalog(&world, "copy", "home");
    world
}

/// Copies the catalog's files; what is not yet folded into the first lies in the second.
fn catalog(world: &World, from: &str, to: &str) {
    fs::create_dir_all(world.path(to)).unwrap();
    for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let [from, to] = [from, to].map(|dir| world.path(dir).join(file));
        let _ = fs::remove_file(&to);
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

fn push_e(world: &World) -> Ended {
    world.n2s(&["push", "--project", "p", "--dataset", "e", "src"])
}

/// The archive that has a version 3: that of `d`.
fn archive(world: &World) -> PathBuf {
    let archives = fs::read_dir(world.path("home/store/archives")).unwrap();
    archives.map(|entry| entry.unwrap().path()).find(|path| path.join("3").exists()).unwrap()
}

fn catch_up(world: &World) -> Ended {
    world.n2s(&["catalog", "catch-up", "--output", "json"])
}

/// The latest version, and every counter is right.
fn comes_back(world: &World) {
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.n2s(&["audit"]).code(0);
}

#[test]
fn numbers_that_the_stores_know_are_stepped_over() {
    let world = restored();
    // Nothing is overwritten, whoever forgets to catch up.
    let before = fs::read(archive(&world).join("2/manifest-header.json")).unwrap();
    world.write("src/c", "four");
    world.push(&[]).code(1);
    let failed = world.json(&["failed"]);
    assert!(failed.to_string().contains("n2s catalog catch-up"), "{failed}");
    assert_eq!(fs::read(archive(&world).join("2/manifest-header.json")).unwrap(), before);

    let done = catch_up(&world).code(0).json();
    let expected = json!({ "datasets": [
        { "project": "p", "dataset": "d", "from": 3, "to": 4 },
        { "project": "p", "dataset": "e", "from": 1, "to": 2 },
    ], "abandoned": [], "unread": [] });
    let mut datasets = done["datasets"].as_array().unwrap().clone();
    datasets.sort_by_key(|one| one["dataset"].to_string());
    let (abandoned, unread) = (&done["abandoned"], &done["unread"]);
    assert_eq!(json!({ "datasets": datasets, "abandoned": abandoned, "unread": unread }), expected);
    let again = catch_up(&world).code(0).json();
    assert!(again["datasets"].as_array().unwrap().iter().all(|one| one["from"] == one["to"]), "{again}");

    world.push(&[]).code(0);
    push_e(&world).code(0);
    let latest = |dataset: &str| {
        let found = world.json(&["changesets", "--dataset", dataset, "--project", "p"]);
        (found["changesets"][0]["version"].clone(), found["changesets"][0]["status"].clone())
    };
    assert_eq!((latest("d"), latest("e")), ((json!(4), json!("completed")), (json!(2), json!("completed"))));
    comes_back(&world);
}

/// It would commit under a number that the stores have given to another version, however late.
#[test]
fn a_push_that_was_open_in_the_copy_gets_another_number() {
    let world = World::armed();
    world.write("src/a", "one");
    world.push(&[]).code(0);
    world.write("src/b", "two");
    let mut push = world.command(&["push", "--project", "p", "--dataset", "d", "src"]);
    let killed = push.env("N2S_FAILPOINT", "push.tree").output().unwrap();
    assert!(!killed.status.success(), "{killed:?}");
    catalog(&world, "home", "copy");
    world.push(&[]).code(0);
    catalog(&world, "copy", "home");

    let done = catch_up(&world).code(0).json();
    assert_eq!(done["datasets"], json!([{ "project": "p", "dataset": "d", "from": 3, "to": 3 }]));
    assert_eq!(done["abandoned"], json!([{ "project": "p", "dataset": "d", "version": 2 }]));
    world.write("src/c", "three");
    world.push(&[]).code(0);
    let versions = world.json(&["changesets", "--project", "p", "--dataset", "d"]);
    assert_eq!(versions["changesets"][0]["version"], 3, "{versions}");
    assert_eq!(catch_up(&world).code(0).json()["abandoned"], json!([]));
    comes_back(&world);
}

#[test]
fn what_cannot_be_read_or_is_not_genuine_is_said_and_moves_nothing() {
    let world = restored();
    let archive = archive(&world);
    // A store that makes a number up.
    fs::create_dir(archive.join("900")).unwrap();
    fs::copy(archive.join("3/manifest-body.json"), archive.join("900/manifest-body.json")).unwrap();
    let done = catch_up(&world).code(1).json();
    let unread = done["unread"].to_string();
    assert!(unread.contains("version 900") && unread.contains("another object of this vault"), "{done}");
    assert!(
        done["datasets"]
            .as_array()
            .unwrap()
            .contains(&json!({ "project": "p", "dataset": "d", "from": 2, "to": 4 })),
        "{done}"
    );
    // An archive whose last push was cut short between body and header.
    fs::remove_dir_all(archive.join("900")).unwrap();
    fs::remove_file(archive.join("3/manifest-header.json")).unwrap();
    let done = catch_up(&world).code(0).json();
    assert_eq!(done["unread"], json!([]));
    // A disk that is not mounted.
    fs::rename(world.path("home/store"), world.path("away")).unwrap();
    for _ in 0..2 {
        let done = catch_up(&world).code(1).json();
        assert!(done["unread"].to_string().contains("local: "), "{done}");
        assert_eq!(done["datasets"], json!([]));
        fs::create_dir_all(world.path("home/store")).unwrap();
    }
}
