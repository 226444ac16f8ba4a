//! An archive on two stores, to be damaged and proven.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Ended, World, files};

/// Files of [`pushed`].
pub const FILES: usize = 12;

/// A pushed version on two stores: small files of their own length each, and one of several blobs.
pub fn pushed() -> World {
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

/// Validates project `p`, dataset `d`.
pub fn validate(world: &World, more: &[&str]) -> Ended {
    world.n2s(&[&["validate", "--project", "p", "--dataset", "d", "--output", "json"], more].concat())
}

/// A number of an answer.
pub fn number(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// The sealed object of a file on a store, found as a reader without n2s would: by opening all of them.
pub fn object(world: &World, store: &str, name: &str) -> PathBuf {
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

/// Replaces an object that the store made read-only, or shares with staging.
pub fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Changes one bit of an object.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    replace(path, &bytes);
}

/// Pairs of path and kind, sorted.
pub fn found(json: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let damages = json["damages"].as_array().unwrap().iter();
    let mut found: Vec<_> =
        damages.map(|damage| (text(&damage["needed_by"][0]["path"]), text(&damage["kind"]))).collect();
    found.sort();
    found
}

/// What has become of each damage.
pub fn states(json: &Value) -> Vec<&str> {
    json["damages"].as_array().unwrap().iter().map(|damage| damage["state"].as_str().unwrap()).collect()
}

/// The status of the latest changeset.
pub fn status(world: &World) -> String {
    world.json(&["changesets"])["changesets"][0]["status"].as_str().unwrap().to_owned()
}

/// What `backends list` says of a store.
pub fn backend(world: &World, name: &str) -> Value {
    let rows = world.json(&["backends", "list"]);
    rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == name).unwrap().clone()
}
