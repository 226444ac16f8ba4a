//! What the stores hold is proven, damage is found, named and replaced, and an outage is not taken for damage.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use n2s_tests::{Ended, World, assert_same, files};
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
