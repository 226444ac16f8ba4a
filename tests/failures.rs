//! What goes wrong says what to do, gives the documented exit code, and changes nothing it should not.

use std::fs;
use std::path::PathBuf;

use n2s_tests::{World, assert_same, files};
use serde_json::json;

fn two_stores() -> World {
    let world = World::two_stores();
    world.write("src/a", "alpha");
    world.write("src/b", "beta".repeat(1_000));
    world
}

fn blobs(world: &World, store: &str) -> Vec<PathBuf> {
    files(&world.path(store).join("blobs"))
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
fn what_no_store_can_be_asked_for_is_not_called_lost() {
    let world = two_stores();
    world.push(&[]).code(0);
    let away = |store: &str| world.path(&format!("{store}.away"));
    for store in ["one", "two"] {
        fs::rename(world.path(store), away(store)).unwrap();
    }
    let gone = world.pull("out", &["--output", "json"]).code(1).json();
    assert_eq!((&gone["lost"], &gone["files"]), (&json!([]), &0.into()), "{gone}");
    let problems = gone["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{gone}");
    assert!(
        problems.iter().all(|problem| problem["what"].to_string().contains("can be reached for now")),
        "{gone}"
    );
    let told = world.pull("out", &["--force"]).code(1);
    assert!(told.out.contains("2 could not be restored"), "{told:?}");

    // One copy that is known to be damaged says nothing of the other.
    fs::rename(away("one"), world.path("one")).unwrap();
    for blob in blobs(&world, "one") {
        fs::write(&blob, b"gone").unwrap();
    }
    assert_eq!(world.pull("out", &["--force", "--output", "json"]).code(1).json()["lost"], json!([]));
    fs::rename(away("two"), world.path("two")).unwrap();

    // Nor is anything lost that is on a store which this configuration does not have.
    let both = fs::read_to_string(world.path("home/config.toml")).unwrap();
    let (one, _) = both.split_once("[backends.two]").unwrap();
    world.write("home/config.toml", one);
    assert_eq!(world.pull("out", &["--force", "--output", "json"]).code(1).json()["lost"], json!([]));
    world.write("home/config.toml", &both);
    world.pull("out", &["--force"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_large_file_that_lost_a_piece_is_lost_and_leaves_nothing_behind() {
    let world = two_stores();
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    world.write("src/large", noise.take(40 << 20).collect::<Vec<u8>>());
    world.push(&[]).code(0);
    let mut pieces = blobs(&world, "one");
    pieces.retain(|blob| fs::metadata(blob).unwrap().len() > 1 << 20);
    assert!(pieces.len() > 3, "it was not cut: {pieces:?}");
    let name = pieces[0].strip_prefix(world.path("one")).unwrap();
    for store in ["one", "two"] {
        fs::write(world.path(store).join(name), b"gone").unwrap();
    }
    let report = world.pull("out", &["--output", "json"]).code(4).json();
    assert_eq!(report["lost"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!((&report["lost"][0]["path"], &report["files"]), (&"large".into(), &2.into()));
    let mut left: Vec<_> = files(&world.path("out"));
    left.retain(|path| !path.ends_with(".n2s-pull"));
    assert_eq!(left, [world.path("out/a"), world.path("out/b")]);
}

#[test]
fn above_its_mark_staging_keeps_nothing_that_a_store_has() {
    let world = two_stores();
    world.set_staging("high_water_mib = 0");
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
