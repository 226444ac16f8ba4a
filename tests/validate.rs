//! What the stores hold is proven, damage is found, named and replaced, and an outage is not taken for damage.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use n2s_tests::{Ended, Running, World, assert_same, files, until};
use serde_json::Value;

const FILES: usize = 12;

/// A pushed version on two stores: small files of their own length each, and one of several blobs.
fn pushed() -> World {
    let world = World::new();
    for name in ["one", "two"] {
        let path = world.path(name);
        world.n2s(&["backends", "add", name, "--path", path.to_str().unwrap()]).code(0);
    }
    for n in 0..FILES {
        world.write(&format!("src/f{n}"), format!("{n} ").repeat(100 + n));
    }
    world.push(&[]).code(0);
    world
}

fn validate(world: &World, more: &[&str]) -> Ended {
    world.n2s(&[&["validate", "--project", "p", "--dataset", "d", "--output", "json"], more].concat())
}

fn number(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// The sealed object of a file on a store, found as a reader without n2s would: by opening all of them.
fn object(world: &World, store: &str, name: &str) -> PathBuf {
    let text = fs::read_to_string(world.path("home/vault")).unwrap();
    let root = text.lines().find_map(|line| line.strip_prefix("root ")).unwrap();
    let mut vault = n2s_envelope::Vault::from_root_text(root).unwrap();
    let keys = if store == "one" { "two" } else { "one" };
    vault.add_wrapped_epoch(&fs::read(world.path(keys).join("keys/1")).unwrap()).unwrap();
    let opener = vault.opener();
    let wanted = n2s_envelope::Expect::Blob(n2s_envelope::content_hash(&fs::read(world.path(name)).unwrap()));
    let opens = |path: &PathBuf| opener.open(&fs::read(path).unwrap(), &wanted).is_ok();
    files(&world.path(store).join("blobs")).into_iter().find(opens).unwrap()
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    replace(path, &bytes);
}

/// Deleted, flipped, cut short and swapped, each with the file it belongs to.
fn damage(world: &World, store: &str) -> [PathBuf; 5] {
    let of = |n: usize| object(world, store, &format!("src/f{n}"));
    let [deleted, flipped, cut, a, b] = [of(0), of(1), of(2), of(3), of(4)];
    fs::remove_file(&deleted).unwrap();
    flip(&flipped);
    let whole = fs::read(&cut).unwrap();
    replace(&cut, &whole[..whole.len() / 2]);
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    replace(&a, &bytes_b);
    replace(&b, &bytes_a);
    [deleted, flipped, cut, a, b]
}

/// Pairs of path and kind, sorted.
fn found(json: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let damages = json["damages"].as_array().unwrap().iter();
    let mut found: Vec<_> =
        damages.map(|damage| (text(&damage["needed_by"][0]["path"]), text(&damage["kind"]))).collect();
    found.sort();
    found
}

fn status(world: &World) -> String {
    world.json(&["changesets"])["changesets"][0]["status"].as_str().unwrap().to_owned()
}

#[test]
fn an_intact_archive_is_proven_at_every_level() {
    let world = pushed();
    for level in ["exists", "sealed", "content"] {
        let json = validate(&world, &["--level", level]).code(0).json();
        // On each store: the files, a list and a map, the manifest; n2s.json and keys/1.
        assert_eq!(number(&json, "checked"), 2 * (FILES as u64 + 2 + 1 + 2), "{json}");
        assert_eq!(number(&json, "damaged") + number(&json, "unchecked"), 0, "{json}");
    }
    world.settled();
}

#[test]
fn every_kind_of_damage_is_found_named_and_replaced() {
    let world = pushed();
    let before: Vec<_> = files(&world.path("one/blobs")).iter().map(|path| fs::read(path).unwrap()).collect();
    damage(&world, "one");
    let ended = validate(&world, &[]).code(4);
    let json = ended.json();
    let expected = ["f0", "f1", "f2", "f3", "f4"].map(|name| {
        let kind = if name == "f0" { "not-found" } else { "corrupt" };
        (name.to_owned(), kind.to_owned())
    });
    assert_eq!(found(&json), expected);
    for damage in json["damages"].as_array().unwrap() {
        assert_eq!((damage["backend"].as_str(), damage["state"].as_str()), (Some("one"), Some("replaced")));
        assert!(damage["object"].as_str().unwrap().starts_with("blobs/"), "{damage}");
    }
    assert_eq!(status(&world), "completed");
    let after: Vec<_> = files(&world.path("one/blobs")).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "the damaged objects are not as they were");
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
    fs::rename(world.path("two"), world.path("away")).unwrap();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn what_only_reading_can_tell_is_not_found_by_asking() {
    let world = pushed();
    let flipped = object(&world, "one", "src/f1");
    flip(&flipped);
    assert_eq!(number(&validate(&world, &["--level", "exists"]).code(0).json(), "damaged"), 0);
    fs::remove_file(object(&world, "one", "src/f2")).unwrap();
    let json = validate(&world, &["--level", "exists"]).code(4).json();
    assert_eq!(found(&json), [("f2".to_owned(), "not-found".to_owned())]);
    let json = validate(&world, &["--level", "content"]).code(4).json();
    assert_eq!(found(&json), [("f1".to_owned(), "corrupt".to_owned())]);
    world.settled();
}

/// What `backends list` says of a store.
fn backend(world: &World, name: &str) -> Value {
    let rows = world.json(&["backends", "list"]);
    rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
}

fn states(json: &Value) -> Vec<&str> {
    json["damages"].as_array().unwrap().iter().map(|damage| damage["state"].as_str().unwrap()).collect()
}

#[test]
fn the_table_names_store_object_and_file() {
    let world = pushed();
    let deleted = object(&world, "one", "src/f7");
    fs::remove_file(&deleted).unwrap();
    let key = deleted.strip_prefix(world.path("one")).unwrap().to_str().unwrap().to_owned();
    let ended = world.n2s(&["validate", "--project", "p", "--dataset", "d"]).code(4);
    for word in ["one", "missing", &key, "p/d:f7", "replaced", "1 damaged"] {
        assert!(ended.out.contains(word), "'{word}' is missing in {ended:?}");
    }
    assert!(deleted.exists());
}

#[test]
fn what_is_damaged_everywhere_is_lost_until_it_is_pushed_again() {
    let world = pushed();
    for store in ["one", "two"] {
        flip(&object(&world, store, "src/f5"));
    }
    let json = validate(&world, &[]).code(4).json();
    assert_eq!(states(&json), ["lost", "lost"], "{json}");
    assert_eq!(status(&world), "failed");
    let ended = world.n2s(&["repair"]).code(4);
    assert!(ended.out.contains("p/d:f5") && ended.out.contains("push the same files again"), "{ended:?}");
    world.pull("lost", &[]).code(4);
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.n2s(&["repair"]).code(0);
    let all = world.json(&["changesets"]);
    assert!(all["changesets"].as_array().unwrap().iter().all(|row| row["status"] == "completed"), "{all}");
    world.settled();
}

#[test]
fn an_archive_that_lost_every_blob_is_whole_after_a_push() {
    let world = pushed();
    for store in ["one", "two"] {
        for path in files(&world.path(store).join("blobs")) {
            flip(&path);
        }
    }
    let json = validate(&world, &["--level", "content"]).code(4).json();
    assert_eq!(number(&json, "damaged"), 2 * (FILES as u64 + 2), "{json}");
    assert!(states(&json).iter().all(|state| *state == "lost"), "{json}");
    // The lists of the manifest are blobs that no file can be read for.
    let lists =
        json["damages"].as_array().unwrap().iter().filter(|damage| damage["needed_by"][0]["path"].is_null());
    assert_eq!(lists.count(), 4);
    world.write("src/new", "one more");
    world.push(&[]).code(0);
    let json = validate(&world, &["--level", "content"]).code(0).json();
    assert_eq!(number(&json, "damaged"), 0);
    world.pull("out", &["--from", "two"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled();
}

#[test]
fn a_copy_that_cannot_be_replaced_yet_leaves_the_version_degraded() {
    let world = World::new();
    for name in ["one", "two"] {
        world.n2s(&["backends", "add", name, "--path", name]).code(0);
    }
    world.write("src/f5", "five");
    world.push(&["--min-copies", "1"]).code(0);
    let (one, two) = (object(&world, "one", "src/f5"), object(&world, "two", "src/f5"));
    let whole = fs::read(&two).unwrap();
    flip(&one);
    flip(&two);
    // Nobody knows of the other damage before the repair meets it.
    let json = validate(&world, &["--backend", "one"]).code(4).json();
    assert_eq!(states(&json), ["failed"], "{json}");
    assert_eq!(status(&world), "degraded");
    assert_eq!(number(&backend(&world, "one"), "damaged"), 1);
    world.n2s(&["repair"]).code(1);
    replace(&two, &whole);
    world.n2s(&["repair"]).code(0);
    assert_eq!(status(&world), "completed");
    assert_eq!(fs::read(one).unwrap(), whole);
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
}

#[test]
fn a_store_that_is_not_mounted_has_no_damage() {
    let world = pushed();
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    for mounted in [false, true] {
        if mounted {
            // A mount point without its disk.
            fs::create_dir(world.path("two")).unwrap();
        }
        let ended = validate(&world, &[]).code(1).says(&["two", "mount"]);
        assert_eq!(number(&ended.json(), "damaged"), 0);
        assert_eq!(number(&backend(&world, "two"), "damaged"), 0);
        assert_eq!(number(&backend(&world, "two"), "pending"), 0);
    }
    fs::remove_dir_all(world.path("two")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    let json = validate(&world, &[]).code(0).json();
    assert_eq!(number(&json, "checked"), 2 * (FILES as u64 + 5));
    world.settled();
}

#[test]
fn a_paused_store_is_left_alone() {
    let world = pushed();
    fs::remove_file(object(&world, "two", "src/f1")).unwrap();
    world.n2s(&["backends", "pause", "two", "--reason", "moving house"]).code(0);
    let ended = validate(&world, &["--backend", "two"]).code(1).says(&["two", "moving house"]);
    assert_eq!(number(&ended.json(), "checked"), 0);
    world.n2s(&["backends", "resume", "two"]).code(0);
    validate(&world, &[]).code(4);
}

#[test]
fn manifests_keys_and_the_marker_are_replaced_like_blobs() {
    let world = pushed();
    let archives = files(&world.path("one/archives"));
    let of = |name: &str| archives.iter().find(|path| path.ends_with(name)).unwrap();
    let (header, body) = (of("manifest-header.json"), of("manifest-body.json"));
    let (key, marker) = (world.path("one/keys/1"), world.path("one/n2s.json"));
    let all = [header, body, &key, &marker].map(|path| (path.clone(), fs::read(path).unwrap()));
    let intact = |json: &Value| {
        assert!(states(json).iter().all(|state| *state == "replaced"), "{json}");
        for (path, bytes) in &all {
            assert!(&fs::read(path).unwrap() == bytes, "{} is not as it was", path.display());
        }
        assert_eq!(number(&validate(&world, &["--level", "content"]).code(0).json(), "damaged"), 0);
        assert_eq!(status(&world), "completed");
    };
    flip(header);
    replace(&marker, b"{\"format\":1,\"vau");
    let json = validate(&world, &[]).code(4).json();
    assert_eq!(found(&json).len(), 2, "{json}");
    assert!(json["damages"][0]["object"] == "n2s.json" && json["damages"][1]["what"] == "manifest", "{json}");
    intact(&json);
    fs::remove_file(body).unwrap();
    fs::remove_file(&key).unwrap();
    intact(&validate(&world, &["--level", "exists"]).code(4).json());
    flip(&key);
    intact(&validate(&world, &[]).code(4).json());
    world.settled();
}

#[test]
fn what_a_pull_could_not_read_is_proven_first_and_replaced() {
    let world = pushed();
    let flipped = object(&world, "one", "src/f9");
    flip(&flipped);
    world.pull("out", &["--from", "one"]).code(0).says(&["a damaged or missing copy on one"]);
    assert!(backend(&world, "one")["proven_since"].is_null());
    // One copy of each store.
    let json = validate(&world, &["--sample-rate", "1000"]).code(4).json();
    assert_eq!(found(&json), [("f9".to_owned(), "corrupt".to_owned())]);
    assert_eq!(states(&json), ["replaced"]);
    world.settled();
}

#[test]
fn a_repair_waits_for_a_source_that_is_not_mounted() {
    let world = pushed();
    fs::remove_file(object(&world, "one", "src/f9")).unwrap();
    fs::rename(world.path("two"), world.path("elsewhere")).unwrap();
    fs::create_dir(world.path("two")).unwrap();
    let json = validate(&world, &["--backend", "one"]).code(4).json();
    assert_eq!(states(&json), ["waiting"], "{json}");
    fs::remove_dir(world.path("two")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("two")).unwrap();
    world.n2s(&["repair"]).code(0);
    assert_eq!(number(&validate(&world, &[]).code(0).json(), "damaged"), 0);
    world.settled();
}

#[test]
fn one_in_n_proves_everything_in_n_runs() {
    const N: u64 = 4;
    let world = pushed();
    let copies = FILES as u64 + 3;
    let mut began = String::new();
    for round in 1..=N {
        let json = validate(&world, &["--sample-rate", "4"]).code(0).json();
        assert_eq!(number(&json, "checked"), 2 * (copies.div_ceil(N) + 2), "{json}");
        for store in ["one", "two"] {
            let row = backend(&world, store);
            if round == 1 && store == "one" {
                row["last_validation"]["started_at"].as_str().unwrap().clone_into(&mut began);
            }
            let all = row["proven_since"].as_str().unwrap() >= began.as_str();
            assert_eq!(all, round == N, "after {round} runs: {row}");
        }
    }
}

#[test]
fn a_killed_run_is_gone_on_with_and_kept_its_budget() {
    let world = pushed();
    let slow = ["--backend", "one", "--limit-bytes-per-second", "400"];
    let start = Instant::now();
    let child = world.start(&[&["validate", "--project", "p", "--dataset", "d"], &slow[..]].concat());
    // Two of the proofs are those of the key and the marker, which count for no copy.
    until("half of it", || backend(&world, "one")["last_validation"]["checked"].as_u64() >= Some(8));
    child.kill();
    let elapsed = start.elapsed();
    let run = backend(&world, "one")["last_validation"].clone();
    let largest = files(&world.path("one/blobs")).iter().map(|path| fs::metadata(path).unwrap().len()).max();
    // What is read is paid for beforehand, by whole seconds' portions or one object.
    let allowed = 400 * (elapsed.as_secs() + 1) + largest.unwrap().max(400);
    assert!(number(&run, "bytes") <= allowed, "{run} is more than {allowed} bytes in {elapsed:?}");
    // Half of the copies are the other half.
    validate(&world, &["--backend", "one", "--sample-rate", "2"]).code(0);
    let row = backend(&world, "one");
    assert!(row["proven_since"].as_str() >= run["started_at"].as_str(), "{run}, {row}");
}

#[test]
fn the_engine_proves_everything_by_itself() {
    let world = pushed();
    let config = world.path("home/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n[validator]\nevery_hours = 0\n").unwrap();
    let [flipped, deleted] = ["src/f1", "src/f2"].map(|name| object(&world, "two", name));
    let whole = fs::read(&flipped).unwrap();
    flip(&flipped);
    fs::remove_file(&deleted).unwrap();
    let up = world.start(&["up"]);
    until("the repair", || deleted.exists() && fs::read(&flipped).is_ok_and(|bytes| bytes == whole));
    until("the end of it", || number(&backend(&world, "two"), "damaged") == 0);
    // A second validator waits for the first, and one that is asked to end ends well.
    let mut second =
        Running::spawn(world.command(&["serve", "validator"]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert!(second.line().unwrap().starts_with("validating"));
    second.terminate().code(0);
    up.terminate().code(0);
    assert_eq!(status(&world), "completed");
    world.settled();
}

#[test]
fn unknown_things_and_bad_flags_are_refused() {
    let world = pushed();
    let run = |args: &[&str]| world.n2s(&[&["validate"], args].concat());
    run(&["--project", "q", "--dataset", "d"]).code(3).says(&["there are: p"]);
    run(&["--project", "p", "--dataset", "e"]).code(3).says(&["there are: d"]);
    run(&["--project", "p", "--dataset", "d", "--backend", "three"]).code(3).says(&["one, two"]);
    run(&["--project", "p", "--dataset", "d", "--sample-rate", "0"]).code(2);
    run(&["--project", "p", "--dataset", "d", "--level", "deep"])
        .code(2)
        .says(&["exists, sealed or content"]);
}
