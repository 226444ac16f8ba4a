//! Catalogs and targets that would lead a restore out of its target: whatever they say, nothing outside changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use n2s_tests::{World, assert_listed_same, listed};

/// Changes what the catalog says; no process of the home runs.
fn alter(world: &World, sql: &str, values: &[&[u8]]) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        done = db.execute(sys.argv[2], [bytes.fromhex(value) for value in sys.argv[3:]])\n\
        assert done.rowcount == 1, done.rowcount\n\
        db.commit()";
    let hex =
        values.iter().map(|value| value.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat());
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(world.path("home/catalog.db")).arg(sql).args(hex);
    assert!(python.status().unwrap().success());
}

/// Renames one row of a pushed version. The path is refused by name, nothing is written anywhere, and what lies apart from
/// it is still to be had.
#[track_caller]
fn refused(path: &[u8], named: &str) {
    let world = World::new();
    let before = world.outside();
    world.write("src/apart/file", "restored");
    world.write("src/row", "hostile");
    world.push(&[]).code(0);
    alter(&world, "UPDATE files SET filepath = ? WHERE filepath = ?", &[path, b"row"]);
    let siblings = fs::read_dir(world.path(".")).unwrap().count();
    world.pull("out", &[]).code(1).says(&["the catalog is damaged", named]);
    assert_eq!(fs::read_dir(world.path(".")).unwrap().count(), siblings + 1, "more than the target was made");
    assert_eq!(listed(&world.path("outside")), before);
    world.pull("rest", &["apart/file"]).code(0);
    assert_eq!(fs::read(world.path("rest/apart/file")).unwrap(), b"restored");
    assert_eq!(listed(&world.path("outside")), before);
}

#[test]
fn a_catalog_path_that_climbs_out_is_refused() {
    refused(b"../outside/victim", "'../outside/victim'");
}

#[test]
fn a_catalog_path_that_climbs_from_within_is_refused() {
    refused(b"apart/../../outside/victim", "'apart/../../outside/victim'");
}

#[test]
fn an_absolute_catalog_path_is_refused() {
    refused(b"/tmp/n2s-hostile", "'/tmp/n2s-hostile'");
    assert!(!Path::new("/tmp/n2s-hostile").exists());
}

#[test]
fn a_catalog_path_with_a_nul_is_refused() {
    refused(b"row\0tail", "'row\\x00tail'");
}

/// Rows below a row that is a symbolic link to outside: each is refused by name, the link and the rest are restored.
#[test]
fn a_catalog_path_below_a_symbolic_link_is_not_followed() {
    let world = World::new();
    let before = world.outside();
    world.write("src/file", "hostile");
    world.write("src/empty", "");
    fs::create_dir(world.path("src/sub")).unwrap();
    symlink("nowhere", world.path("src/soft")).unwrap();
    world.write("src/one", "linked");
    fs::hard_link(world.path("src/one"), world.path("src/two")).unwrap();
    symlink(world.path("outside"), world.path("src/link")).unwrap();
    world.write("src/rest", "restored");
    world.push(&[]).code(0);
    let hostile = [
        ("file", "link/victim"),
        ("empty", "link/new"),
        ("sub", "link/dir"),
        ("soft", "link/soft"),
        ("two", "link/two"),
    ];
    for (from, to) in hostile {
        let sql = "UPDATE files SET filepath = ? WHERE filepath = ?";
        alter(&world, sql, &[to.as_bytes(), from.as_bytes()]);
    }
    for more in [&[][..], &["--force"]] {
        let said = world.pull("out", more).code(1);
        for (_, to) in hostile {
            assert!(said.err.contains(&format!("{to}: ")), "{to} is not named in {said:?}");
        }
        assert_eq!(fs::read_link(world.path("out/link")).ok(), Some(world.path("outside")), "{said:?}");
        assert_eq!(fs::read(world.path("out/rest")).unwrap(), b"restored");
        assert_eq!(fs::read(world.path("out/one")).unwrap(), b"linked");
        assert_eq!(listed(&world.path("outside")), before, "a link was followed");
    }
}

/// A target prepared by somebody else: links to outside wherever something shall be written, the pull's own marker included.
#[test]
fn a_target_full_of_links_to_outside_is_written_without_following_any() {
    let world = World::new();
    world.outside();
    for (path, content) in [("dir/victim", "a"), ("file", "b"), ("deep/in/file", "c"), ("hard", "d")] {
        world.write(&format!("src/{path}"), content);
    }
    fs::hard_link(world.path("src/file"), world.path("src/same")).unwrap();
    symlink("nowhere", world.path("src/soft")).unwrap();
    world.push(&[]).code(0);
    let to = |name: &str| world.path("outside").join(name);
    for name in ["hard", "marker"] {
        fs::write(to(name), "untouched").unwrap();
    }
    let before = listed(&world.path("outside"));
    fs::create_dir_all(world.path("out/deep")).unwrap();
    let links = [
        ("dir", "dir"),
        ("file", "victim"),
        ("deep/in", "dir"),
        ("same", "victim"),
        ("soft", "victim"),
        (".n2s-pull", "marker"),
    ];
    for (name, target) in links {
        symlink(to(target), world.path("out").join(name)).unwrap();
    }
    fs::hard_link(to("hard"), world.path("out/hard")).unwrap();
    world.pull("out", &[]).code(2).says(&["--force"]);
    assert_eq!(listed(&world.path("outside")), before);
    world.pull("out", &["--force"]).code(0);
    assert_eq!(listed(&world.path("outside")), before, "a link was followed");
    assert_listed_same(&world.path("src"), &world.path("out"));
}

/// The name of the pull's own marker is a name like any other.
#[test]
fn an_archived_file_with_the_name_of_the_marker_comes_back() {
    let world = World::new();
    world.write("src/.n2s-pull", "mine");
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_eq!(fs::read(world.path("out/.n2s-pull")).unwrap(), b"mine");
    world.pull("out", &["--force"]).code(0);
    assert_listed_same(&world.path("src"), &world.path("out"));
}
