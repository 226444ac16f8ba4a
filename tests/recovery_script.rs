//! A version comes back from one store and the printed root, with a short script and without n2s.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use n2s_tests::{World, assert_same, files};

fn restore(world: &World, target: &str, more: &[&str]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = here.join(".venv/bin/python3");
    assert!(python.exists(), "the recovery script's libraries are not installed; run `make deps`");
    Command::new(python)
        .arg("-B")
        .arg(here.join("shared/envelope/recovery/n2s_restore.py"))
        .args([
            "--root",
            "root",
            "--store",
            "home/store",
            "--project",
            "p",
            "--dataset",
            "d",
            "--target",
            target,
        ])
        .args(more)
        .current_dir(world.path(""))
        .output()
        .unwrap()
}

/// Two versions of a tree with something of every kind; then everything but the store and the printed root is deleted.
fn lost_world() -> World {
    let world = World::new();
    let name = |bytes: &[u8]| world.path("src").join(std::ffi::OsStr::from_bytes(bytes));
    world.write("src/sub/deep/file", "in version one");
    world.write("src/empty", "");
    fs::create_dir(world.path("src/hollow")).unwrap();
    fs::write(name(b"caf\xe9 \\x41 \n"), "no text").unwrap();
    fs::write(name("e\u{301}".as_bytes()), "decomposed").unwrap();
    fs::write(name("\u{e9}".as_bytes()), "composed").unwrap();
    symlink("../\u{e9}/nowhere", world.path("src/link")).unwrap();
    fs::hard_link(world.path("src/link"), world.path("src/sub/link-too")).unwrap();
    fs::hard_link(world.path("src/empty"), world.path("src/sub/empty-too")).unwrap();
    let large: Vec<u8> = (0..40_000_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    world.write("src/large", large);
    fs::File::create(world.path("src/sparse")).unwrap().set_len(50_000_000).unwrap();
    fs::set_permissions(world.path("src/sub/deep/file"), fs::Permissions::from_mode(0o4710)).unwrap();
    fs::set_permissions(world.path("src/sub/deep"), fs::Permissions::from_mode(0o550)).unwrap();
    world.push(&[]).code(0);
    fs::create_dir(world.path("first")).unwrap();
    let copied = Command::new("cp").args(["-a", "src/.", "first"]).current_dir(world.path("")).status();
    assert!(copied.unwrap().success());
    world.write("src/new", "in version two");
    fs::remove_file(world.path("src/empty")).unwrap();
    world.n2s(&["keys", "rotate"]).code(0);
    world.write("src/newer", "under the second epoch");
    world.push(&[]).code(0);
    let root = world.json(&["keys", "print-root"])["root"].as_str().unwrap().to_owned();
    fs::write(world.path("root"), root).unwrap();
    for gone in ["home/vault", "home/catalog.db", "home/config.toml"] {
        fs::remove_file(world.path(gone)).unwrap();
    }
    world
}

#[test]
fn the_script_brings_every_version_back_from_the_store_and_the_printed_root() {
    let world = lost_world();
    let output = restore(&world, "out", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&world.path("src"), &world.path("out"));
    let output = restore(&world, "one", &["--version", "1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Copying it touched nothing but what the listing leaves out.
    assert_same(&world.path("first"), &world.path("one"));
}

#[test]
fn the_script_names_what_is_damaged_and_brings_the_rest() {
    let world = lost_world();
    let blobs = files(&world.path("home/store/blobs"));
    let largest = blobs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    bytes[100] ^= 1;
    fs::write(largest, bytes).unwrap();
    let output = restore(&world, "out", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("large: its bytes are not those it is named for"), "{said}");
    assert_eq!(fs::read(world.path("out/newer")).unwrap(), b"under the second epoch");
}
