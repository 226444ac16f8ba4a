//! A store that joins later.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::{World, assert_same, files};

fn world() -> World {
    let world = World::new();
    for n in 0..300 {
        world.write(&format!("src/d{}/f{n}", n % 7), format!("content {n}"));
    }
    let large: Vec<u8> =
        (0..20_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).step_by(4).collect();
    world.write("src/large", large);
    world
}

fn headers(world: &World, store: &str) -> Vec<String> {
    let all = files(&world.path(store).join("archives"));
    let headers = all.iter().filter(|path| path.ends_with("manifest-header.json"));
    headers.map(|path| path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_store_added_later_is_made_whole_and_kept_so() {
    let world = world();
    world.n2s(&["backends", "add", "one", "--path", "one"]).code(0);
    world.push(&[]).code(0);
    fs::remove_file(world.path("src/d1/f1")).unwrap();
    world.write("src/d1/new", "second version");
    world.push(&[]).code(0);
    world.n2s(&["backends", "add", "two", "--path", "two"]).code(0);
    world.n2s(&["backends", "sync", "three"]).code(3).says(&["three", "one, two"]);
    let said = world.json(&["backends", "sync", "two"]);
    assert_eq!(said["datasets"][0]["status"], "completed", "{said}");
    assert_eq!(headers(&world, "two"), ["2"], "the head, and only when all of it is there");
    world.write("src/d2/newer", "third version");
    world.push(&[]).code(0);
    assert_eq!(headers(&world, "two"), ["2", "3"]);
    assert_eq!(world.json(&["backends", "sync", "two"])["datasets"][0]["objects"], 0);
    world.settled();

    fs::rename(world.path("one"), world.path("away")).unwrap();
    world.pull("out", &["--from", "two"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_sync_whose_store_is_away_is_taken_up_again() {
    let world = world();
    world.n2s(&["backends", "add", "one", "--path", "one"]).code(0);
    world.push(&[]).code(0);
    world.n2s(&["backends", "add", "two", "--path", "two"]).code(0);
    fs::remove_dir(world.path("two")).unwrap();
    world.n2s(&["backends", "sync", "two"]).code(1);
    fs::create_dir(world.path("two")).unwrap();
    world.n2s(&["backends", "resume", "two"]).code(0);
    world.write("src/more", "more");
    world.push(&[]).code(0);
    assert_eq!(headers(&world, "two"), ["1", "2"]);
    world.settled();
}
