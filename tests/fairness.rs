//! A small push is not stuck behind a huge one. (`services/worker/tests/delivery/isolation.rs` has stores beside each other.)

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::{World, until};
use serde_json::Value;

/// Objects of the huge push: several windows of them.
const HUGE: u64 = 1_500;

/// A home with a store that gets one object at a time and nothing for now, so that pushes are recorded and wait.
fn paused_store() -> World {
    let world = World::new();
    let disk = world.path("disk");
    fs::create_dir(&disk).unwrap();
    fs::create_dir_all(world.path("home")).unwrap();
    let settings = format!(
        "[backends.disk]\nkind = \"local\"\npath = \"{}\"\nconcurrency_min = 1\nconcurrency_max = 1\n",
        disk.display()
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
    for pushed in [&small, &huge] {
        until("the pushes completing", || changeset(&world, pushed)["status"] == "completed");
    }
    // By the catalog's own times: how far the huge one is when somebody looks says more of who looked.
    let of = |dataset: &str| {
        format!(
            "FROM blob_backends p JOIN blobs l ON l.id = p.blob_id JOIN files f ON f.content_hash = l.content_hash \
             JOIN datasets d ON d.id = f.dataset_id WHERE d.name = '{dataset}'"
        )
    };
    let before = format!(
        "SELECT count(*) {} AND p.completed_at <= (SELECT max(p.completed_at) {})",
        of("huge"),
        of("small")
    );
    let before = world.rows(&before)[0][0].as_u64().unwrap();
    // Of the windows that the huge one needs, the small one has seen one or two.
    assert!(before < HUGE * 3 / 4, "the small one waited for {before} objects of the huge one");
}
