//! Vaults and sealed bytes that are not what they should be: found, named, and never restored.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use n2s_tests::{World, assert_same, files};

/// A pushed version on two stores.
fn pushed() -> World {
    let world = World::new();
    for name in ["one", "two"] {
        let path = world.path(name);
        world.n2s(&["backends", "add", name, "--path", path.to_str().unwrap()]).code(0);
    }
    world.write("src/a", "alpha");
    world.write("src/b", "beta".repeat(1_000));
    world.push(&[]).code(0);
    world
}

fn blobs(world: &World, store: &str) -> Vec<PathBuf> {
    files(&world.path(store).join("blobs"))
}

/// The sealed contents of `a` and `b` on a store: what the vault opens to them.
fn contents(world: &World, store: &str) -> [PathBuf; 2] {
    let text = fs::read_to_string(world.path("home/vault")).unwrap();
    let root = text.lines().find_map(|line| line.strip_prefix("root ")).unwrap();
    let mut vault = n2s_envelope::Vault::from_root_text(root).unwrap();
    vault.add_wrapped_epoch(&fs::read(world.path(store).join("keys/1")).unwrap()).unwrap();
    let opener = vault.opener();
    ["src/a", "src/b"].map(|name| {
        let hash = n2s_envelope::content_hash(&fs::read(world.path(name)).unwrap());
        let holds =
            |path: &PathBuf| opener.open(&fs::read(path).unwrap(), &n2s_envelope::Expect::Blob(hash)).is_ok();
        blobs(world, store).into_iter().find(holds).unwrap()
    })
}

/// Replaces an object that the store made read-only, or shares with staging.
fn replace(path: &PathBuf, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// `a` is damaged on store `one`: the other store's copy is taken, and the damage is named.
#[track_caller]
fn passed_over(world: &World) {
    world.pull("out", &["--from", "one"]).code(0).says(&["a damaged or missing copy on one"]);
    assert_same(&world.path("src"), &world.path("out"));
    fs::remove_dir_all(world.path("out")).unwrap();
}

/// `a` is damaged on both stores: `b` alone comes back, and `a` is named as lost.
#[track_caller]
fn lost(world: &World) {
    let ended = world.pull("out", &["--output", "json"]).code(4);
    assert_eq!(ended.json()["lost"].as_array().unwrap().len(), 1, "{ended:?}");
    assert!(!world.path("out/a").exists(), "damaged bytes were restored");
    assert_eq!(fs::read(world.path("out/b")).unwrap(), fs::read(world.path("src/b")).unwrap());
}

#[test]
fn any_flipped_byte_is_passed_over_for_another_copy() {
    let world = pushed();
    let [a, _] = contents(&world, "one");
    let whole = fs::read(&a).unwrap();
    // Magic, format, suite, vault, epoch, nonce, metadata, payload, tag.
    for at in [0, 4, 5, 6, 14, 18, 42, whole.len() / 2, whole.len() - 16, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        replace(&a, &bytes);
        passed_over(&world);
    }
}

#[test]
fn a_byte_flipped_in_every_copy_loses_that_file_alone() {
    let world = pushed();
    for store in ["one", "two"] {
        let [a, _] = contents(&world, store);
        let mut bytes = fs::read(&a).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 0x80;
        replace(&a, &bytes);
    }
    lost(&world);
}

#[test]
fn a_truncated_object_is_passed_over_for_another_copy() {
    let world = pushed();
    let [a, _] = contents(&world, "one");
    let whole = fs::read(&a).unwrap();
    for length in [0, 1, 41, whole.len() / 2, whole.len() - 1] {
        replace(&a, &whole[..length]);
        passed_over(&world);
    }
}

#[test]
fn a_swapped_object_is_passed_over_for_another_copy() {
    let world = pushed();
    let [a, b] = contents(&world, "one");
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    replace(&a, &bytes_b);
    replace(&b, &bytes_a);
    passed_over(&world);
}

#[test]
fn an_object_swapped_in_every_copy_is_lost_and_not_restored() {
    let world = pushed();
    for store in ["one", "two"] {
        let [a, b] = contents(&world, store);
        replace(&a, &fs::read(b).unwrap());
    }
    lost(&world);
}

#[test]
fn another_vault_is_refused() {
    let (world, other) = (pushed(), pushed());
    let vault = world.path("home/vault");
    fs::write(&vault, fs::read(other.path("home/vault")).unwrap()).unwrap();
    let before = blobs(&world, "one");
    world.write("src/c", "gamma");
    world.push(&[]).code(2).says(&["vault"]);
    world.pull("out", &[]).code(2).says(&["vault"]);
    assert_eq!(blobs(&world, "one"), before, "something was sealed with another vault");
    assert!(!world.path("out").exists());
}

#[test]
fn a_truncated_vault_is_refused() {
    let world = pushed();
    let vault = world.path("home/vault");
    let whole = fs::read(&vault).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 9] {
        fs::write(&vault, &whole[..length]).unwrap();
        world.push(&[]).code(2).says(&["damaged", "backup"]);
    }
    assert_eq!(fs::read(&vault).unwrap().len(), whole.len() - 9, "the vault was written over");
}

#[test]
fn a_vault_that_others_can_read_is_refused() {
    let world = pushed();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(world.path("home/vault"), fs::Permissions::from_mode(mode)).unwrap();
        world.push(&[]).code(2).says(&["chmod 600"]);
    }
}

#[test]
fn a_vault_that_is_gone_is_not_made_anew() {
    let world = pushed();
    fs::remove_file(world.path("home/vault")).unwrap();
    world.push(&[]).code(2).says(&["missing", "backup"]);
    assert!(!world.path("home/vault").exists(), "a new vault was made over an old archive");
}
