//! What goes wrong says what to do, gives the documented exit code, and changes nothing it should not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use n2s_tests::{World, assert_same, files};

fn two_stores() -> World {
    stores_in(World::new())
}

fn stores_in(world: World) -> World {
    for name in ["one", "two"] {
        let path = world.path(name);
        world.n2s(&["backends", "add", name, "--path", path.to_str().unwrap()]).code(0);
    }
    world.write("src/a", "alpha");
    world.write("src/b", "beta".repeat(1_000));
    world
}

fn blobs(world: &World, store: &str) -> Vec<PathBuf> {
    files(&world.path(store).join("blobs"))
}

#[test]
fn unknown_things_are_named_with_what_there_is() {
    let world = two_stores();
    world.push(&["--snapshot", "monday"]).code(0);
    let pull = |args: &[&str]| world.n2s(&[&["pull", "--target", "out"], args].concat()).code(3);
    pull(&["--project", "q", "--dataset", "d"]).says(&["no project 'q'", "there are: p"]);
    pull(&["--project", "p", "--dataset", "e"]).says(&["no dataset 'e'", "there are: d"]);
    pull(&["--project", "p", "--dataset", "d", "--version", "9"]).says(&["no version '9'", "there are: 1"]);
    pull(&["--project", "p", "--dataset", "d", "--snapshot", "x"]).says(&["no snapshot 'x'", "monday"]);
    pull(&["--project", "p", "--dataset", "d", "--from", "three"]).says(&["no backend 'three'", "one, two"]);
    pull(&["--project", "p", "--dataset", "d", "nothing-like-it"]).says(&["no path", "n2s files"]);
    world
        .n2s(&["push", "--project", "new", "--dataset", "d", "--backend", "three", "src"])
        .code(3)
        .says(&["one, two"]);
    world.n2s(&["search", "--project", "new", "x"]).code(3).says(&["no project"]);
    assert!(!world.path("out").exists(), "bad input made a target");
}

#[test]
fn bad_flags_sources_and_targets_are_refused() {
    let world = two_stores();
    world.n2s(&["push", "--project", "p", "--dataset", "d", "absent"]).code(2).says(&["absent is not there"]);
    world.n2s(&["push", "--project", "p", "--dataset", "d", "src/a", "src/b"]).code(2).says(&["--root"]);
    world.n2s(&["push", "--project", "", "--dataset", "d", "src"]).code(2).says(&["it is empty"]);
    world.push(&[]).code(0);
    world.write("full/file", "mine");
    world.pull("full", &[]).code(2).says(&["not empty", "--force"]);
    assert_eq!(files(&world.path("full")).len(), 1);
    world.pull("full", &["--force"]).code(0);
    assert_eq!(fs::read(world.path("full/file")).unwrap(), b"mine");
}

#[test]
fn a_wrong_key_in_the_configuration_is_named_with_the_right_one() {
    let world = stores_in(World::at_home());
    let config = world.path("home/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("path", "pth")).unwrap();
    world.n2s(&["config", "check"]).code(2).says(&["pth", "did you mean", "path"]);
    world.push(&[]).code(2);
    assert!(!world.path("home/catalog.db").exists());
}

#[test]
fn an_emptied_source_is_not_taken_for_a_deleted_archive() {
    let world = two_stores();
    world.push(&[]).code(0);
    fs::remove_file(world.path("src/a")).unwrap();
    fs::remove_file(world.path("src/b")).unwrap();
    world.push(&[]).code(2).says(&["--allow-mass-removal"]);
    world.pull("out", &[]).code(0);
    assert!(world.path("out/a").exists());
    world.settled();
    world.push(&["--allow-mass-removal"]).code(0);
    world.pull("now", &[]).code(0);
    assert!(!world.path("now/a").exists());
}

#[test]
fn a_damaged_copy_is_passed_over_and_named() {
    let world = two_stores();
    world.push(&[]).code(0);
    for blob in blobs(&world, "one") {
        let mut bytes = fs::read(&blob).unwrap();
        bytes[70] ^= 1;
        fs::write(&blob, bytes).unwrap();
    }
    world.pull("out", &["--from", "one"]).code(0).says(&["a damaged or missing copy on one"]);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn what_no_store_has_intact_is_lost_and_the_rest_is_restored() {
    let world = two_stores();
    world.push(&[]).code(0);
    let hash = world.n2s(&["files", "--project", "p", "--dataset", "d", "--output", "json"]).out;
    assert!(hash.contains("\"path\":\"a\""));
    // The smallest sealed blob on each store is that of `a`.
    for store in ["one", "two"] {
        let smallest =
            blobs(&world, store).into_iter().min_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        fs::write(smallest, b"gone").unwrap();
    }
    let ended = world.pull("out", &["--output", "json"]).code(4);
    assert_eq!(ended.json()["lost"].as_array().unwrap().len(), 1);
    assert_eq!(files(&world.path("out")).iter().filter(|path| !path.ends_with(".n2s-pull")).count(), 1);
}

#[test]
fn a_store_that_is_not_mounted_is_never_begun_anew() {
    let world = two_stores();
    world.push(&[]).code(0);
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    fs::create_dir(world.path("two")).unwrap();
    world.write("src/c", "gamma");
    let stuck = world.push(&[]).code(1);
    assert!(stuck.out.contains("two") && stuck.out.contains("catches up"), "{stuck:?}");
    assert!(!world.path("two/n2s.json").exists(), "an empty mount point was initialised");
    assert_eq!(world.json(&["failed"])["failed"], serde_json::json!([]), "an outage cost a blob its budget");
    fs::remove_dir_all(world.path("two")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    world.push(&[]).code(0);
    world.settled();
    assert_eq!(blobs(&world, "one").len(), blobs(&world, "two").len());
}

#[test]
fn a_missing_store_does_not_keep_the_other_waiting() {
    let world = two_stores();
    world.push(&[]).code(0);
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    world.write("src/c", "gamma");
    world.push(&[]).code(1);
    let rows = world.json(&["backends", "list"]);
    let row = |name: &str| {
        rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
    };
    assert_eq!(row("one")["pending"], 0);
    assert!(row("two")["pending"].as_u64().unwrap() > 0);
    world.pull("out", &[]).code(0);
    assert!(world.path("out/c").exists());
}

#[test]
fn what_cannot_be_read_is_kept_and_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = two_stores();
    world.write("src/dir/inside", "kept");
    world.write("src/secret", "kept, too");
    world.push(&[]).code(0);
    for path in ["src/dir", "src/secret"] {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    fs::write(world.path("src/a"), "changed").unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        // Root reads everything: the push runs as somebody else, who owns the world.
        let owner =
            std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(world.path(".")).status();
        assert!(owner.unwrap().success());
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(n2s_tests::binary());
        command.current_dir(world.path(".")).env("N2S_HOME", world.path("home"));
        command.args(["push", "--project", "p", "--dataset", "d", "src"]);
        command
    } else {
        world.command(&["push", "--project", "p", "--dataset", "d", "src"])
    };
    let ended: n2s_tests::Ended = command.output().unwrap().into();
    ended.code(1).says(&["dir: its contents could not be read", "secret: it could not be read"]);
    let listed = world.n2s(&["files", "--project", "p", "--dataset", "d"]).out;
    assert!(listed.contains("dir/inside") && listed.contains("secret"), "{listed}");
    for path in ["src/dir", "src/secret"] {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn above_its_mark_staging_keeps_nothing_that_a_store_has() {
    let world = two_stores();
    let mut config = fs::read_to_string(world.path("home/config.toml")).unwrap();
    config.push_str("\n[staging]\nhigh_water_mib = 0\n");
    fs::write(world.path("home/config.toml"), config).unwrap();
    world.push(&[]).code(0);
    fs::rename(world.path("two"), world.path("away")).unwrap();
    world.write("src/later", "only on one for now");
    let stuck = world.push(&[]).code(1);
    assert!(stuck.out.contains("not everywhere yet: two"), "{stuck:?}");
    world.settled_after_a_kill();
    fs::rename(world.path("away"), world.path("two")).unwrap();
    world.n2s(&["backends", "resume", "two"]).code(0);
    world.push(&[]).code(0);
    assert_eq!(blobs(&world, "one").len(), blobs(&world, "two").len());
    world.settled();
}

#[test]
fn a_cancelled_changeset_is_given_up_and_taken_up_again() {
    let world = two_stores();
    world.push(&[]).code(0);
    world.n2s(&["backends", "pause", "two"]).code(0);
    world.write("src/c", "gamma");
    let pushed = world.push(&["--no-wait", "--output", "json"]).code(0).json();
    let changeset = pushed["changeset"].as_str().unwrap();
    let cancelled = world.json(&["cancel", changeset]);
    assert!(cancelled["placements"].as_u64().unwrap() > 0, "{cancelled}");
    let failed = world.json(&["failed", "--changeset", changeset]);
    let failed = failed["failed"].as_array().unwrap();
    assert!(failed.iter().any(|failure| failure["backend"] == "two" && failure["path"] == "c"), "{failed:?}");
    assert!(failed.iter().all(|failure| failure["kind"] == "cancelled"), "{failed:?}");
    world.n2s(&["backends", "resume", "two"]).code(0);
    world.n2s(&["retry", "--changeset", changeset]).code(0);
    assert_eq!(world.json(&["status", changeset])["status"], "completed");
    world.settled();
    world.n2s(&["cancel", "01a1fd32-16bb-786d-b650-d67d608d1bee"]).code(3).says(&["no changeset"]);
}
