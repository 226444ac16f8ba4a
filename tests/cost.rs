//! Cost follows change, not size.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use n2s_tests::World;
use serde_json::Value;

/// Pushes, and returns what it read and recorded.
#[track_caller]
fn cost(world: &World, args: &[&str]) -> (u64, u64, u64) {
    let said: Value = world.json(&[&["push", "--project", "p", "--dataset", "d"], args].concat());
    let of = |name: &str| said[name].as_u64().unwrap_or_else(|| panic!("no {name} in {said}"));
    (of("read_bytes"), of("put"), of("removed"))
}

/// Waits until no file is so young that it could change again within the clock's grain: such a file is read once more.
fn aged(world: &World) {
    use std::os::unix::fs::MetadataExt as _;
    let newest = || {
        let paths = n2s_tests::files(&world.path("src"));
        paths.iter().map(|path| fs::metadata(path).unwrap().ctime()).max().unwrap_or(0)
    };
    let newest = newest();
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    while now() < u64::try_from(newest).unwrap() + 3 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn world() -> World {
    let world = World::new();
    for n in 0..50 {
        world.write(&format!("src/d{}/f{n}", n % 5), format!("content {n}"));
    }
    world
}

#[test]
fn a_push_of_some_paths_leaves_the_rest_known() {
    let world = world();
    aged(&world);
    assert_eq!(cost(&world, &["src"]).1, 56);
    world.write("src/d1/f1", "changed!");
    world.write("src/d2/new", "new");
    aged(&world);
    let (read, put, _) = cost(&world, &["--root", "src", "--delta", "src/d1/f1", "src/d2/new"]);
    // The directory whose time moved with the new file is recorded, too.
    assert_eq!((read, put), (11, 3));
    let (read, put, removed) = cost(&world, &["src"]);
    assert_eq!((read, put, removed), (11, 0, 0), "only what the push of paths recorded is read again");
    assert_eq!(cost(&world, &["src"]), (0, 0, 0));
    let (read, ..) = cost(&world, &["--root", "src", "src/d1", "src/d3"]);
    assert_eq!(read, 0, "a directory pushed by itself is known from the push of the whole");
    world.settled();
}

#[test]
fn a_damaged_cache_costs_reading_and_nothing_else() {
    let world = world();
    aged(&world);
    assert_eq!(cost(&world, &["src"]).1, 56);
    let caches = n2s_tests::files(&world.client("cache"));
    assert_eq!(caches.len(), 1);
    let whole = fs::read(&caches[0]).unwrap();
    fs::write(&caches[0], &whole[..whole.len() / 2]).unwrap();
    let (read, put, _) = cost(&world, &["src"]);
    assert!(read > 0, "the files are read again");
    assert_eq!(put, 0);
    assert_eq!(cost(&world, &["src"]), (0, 0, 0));
    world.settled();
}

#[test]
fn a_directory_that_became_a_file_takes_its_contents_along() {
    let world = world();
    assert_eq!(world.push(&[]).code, 0);
    fs::remove_dir_all(world.path("src/d1")).unwrap();
    world.write("src/d1", "a file now");
    let (_, put, removed) = cost(&world, &["--root", "src", "--delta", "src/d1/f1"]);
    assert_eq!((put, removed), (2, 10), "the file and the root's time; all that lay below");
    assert_eq!(world.pull("out", &[]).code, 0);
    n2s_tests::assert_same(&world.path("src"), &world.path("out"));
    world.settled();
}

#[test]
fn a_part_of_a_tree_is_listed_and_pulled_by_itself() {
    let world = world();
    assert_eq!(world.push(&[]).code, 0);
    let listed = world.n2s(&["files", "--project", "p", "--dataset", "d", "d3"]).code(0);
    assert_eq!(listed.out.lines().count(), 11);
    world.n2s(&["files", "--project", "p", "--dataset", "d", "nothing"]).code(1).says(&["no path nothing"]);
    let pulled =
        world.n2s(&["pull", "--project", "p", "--dataset", "d", "--target", "out", "d3", "d1/f1*", "d1/f11"]);
    pulled.code(0);
    // f11 is matched twice and restored once.
    assert_eq!(n2s_tests::files(&world.path("out")).len(), 10 + 3);
}
