//! A small push is not stuck behind a huge one. (`services/worker/tests/delivery/isolation.rs` has stores beside each other.)

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::{World, until};
use serde_json::Value;

/// Objects of the huge push: several windows of them.
const HUGE: usize = 1_500;

/// A home with a store that gets one object at a time and nothing for now, so that pushes are recorded and wait.
fn paused_store() -> World {
    let world = World::new();
    let disk = world.path("disk");
    fs::create_dir(&disk).unwrap();
    fs::create_dir_all(world.path("home")).unwrap();
    let settings = format!(
        "[backends.disk]\nkind = \"local\"\npath = {disk:?}\nconcurrency_min = 1\nconcurrency_max = 1\n"
    );
    fs::write(world.path("home/config.toml"), settings).unwrap();
    world.n2s(&["backends", "list"]);
    world.write("first/1", "first");
    push(&world, "first");
    world.n2s(&["backends", "pause", "disk"]).code(0);
    world
}

/// Commits a push of the directory as a dataset of that name; returns its changeset.
fn push(world: &World, name: &str) -> String {
    let args = ["push", "--project", "p", "--dataset", name, "--no-wait", "--output", "json", name];
    world.n2s(&args).code(0).json()["changeset"].as_str().unwrap().to_owned()
}

fn changeset(world: &World, id: &str) -> Value {
    world.json(&["status", id])
}

#[test]
fn a_push_of_20_files_completes_while_a_huge_one_is_under_way() {
    let world = paused_store();
    (0..HUGE).for_each(|n| world.write(&format!("huge/{n}"), format!("huge {n}")));
    (0..20).for_each(|n| world.write(&format!("small/{n}"), format!("small {n}")));
    let (huge, small) = (push(&world, "huge"), push(&world, "small"));
    assert_eq!(changeset(&world, &small)["status"], "pushing");
    let _engine = world.start(&["up"]);
    world.n2s(&["backends", "resume", "disk"]).code(0);
    until("the small push completing", || changeset(&world, &small)["status"] == "completed");
    let left = changeset(&world, &huge);
    let waiting = left["stores"][0]["waiting"].as_u64().unwrap();
    assert!(left["status"] == "pushing" && waiting > 0, "the huge one was first: {left}");
    // Of the windows that the huge one needs, the small one has seen one or two.
    assert!(waiting > HUGE as u64 / 4, "the small one waited for all but {waiting} objects of the huge one");
}
