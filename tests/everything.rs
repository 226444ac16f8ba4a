//! One tree of everything that Unix can hold, made by `make_tree.py`, goes to two stores and comes back from each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use n2s_tests::{World, assert_listed_same};

fn make_tree(world: &World, name: &str, seed: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("trees/make_tree.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(world.path(name)).args(["--seed", seed]);
    if rustix::process::geteuid().is_root() {
        command.arg("--root-owned");
    }
    assert!(command.status().unwrap().success());
}

#[test]
fn a_tree_of_everything_comes_back_from_each_store_and_of_each_version() {
    let world = World::two_stores();
    for (tree, seed) in [("first", "1"), ("second", "2")] {
        make_tree(&world, tree, seed);
        world.n2s(&["push", "--project", "p", "--dataset", "d", "--snapshot", tree, tree]).code(0);
    }
    for (tree, store) in [("first", "two"), ("second", "one")] {
        let out = format!("{tree} from {store}");
        world.pull(&out, &["--snapshot", tree, "--from", store, "--verify"]).code(0);
        assert_listed_same(&world.path(tree), &world.path(&out));
    }
    world.settled();
}
