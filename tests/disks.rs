//! Disks that are full, read-only or gone, each a small file system in a mount namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use n2s_tests::{Ended, World, assert_same, binary, files};

/// Runs a shell script where mounts are its own; without root, as the root of a user namespace.
fn mounted(world: &World, script: &str) -> Ended {
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let output = Command::new("unshare")
        .args([flags, "sh", "-euc", script])
        .current_dir(world.path("."))
        .env("N2S_HOME", world.path("home"))
        .env("N2S", binary())
        .output()
        .unwrap();
    output.into()
}

fn one_version() -> World {
    let world = World::new();
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    // Bytes that do not compress, more than the small disks hold.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    world.write("src/big", noise.take(6 << 20).collect::<Vec<u8>>());
    world
}

const PUSH: &str = "$N2S push --project p --dataset d src";

/// After a push failed for want of room, the same push with room completes, and the tree comes back.
#[track_caller]
fn completes_with_room(world: &World) {
    world.pull("before", &["--version", "1"]).code(0);
    assert_eq!(fs::read(world.path("before/a")).unwrap(), b"alpha");
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled_after_a_kill();
}

#[test]
fn a_full_disk_under_staging_fails_the_push_and_nothing_else() {
    let world = one_version();
    // Staging shares the home's disk, which has room for the catalog but not for the file; the store lies elsewhere.
    let script = format!(
        "mkdir disk; mount -t tmpfs -o size=4m none disk; cp -a home/. disk/; mount --bind home/store disk/store; \
         export N2S_HOME=$PWD/disk; {PUSH}"
    );
    mounted(&world, &script).code(1).says(&["No space left"]);
    completes_with_room(&world);
}

#[test]
fn a_full_disk_under_the_catalog_fails_the_push_and_nothing_else() {
    let world = one_version();
    // The home, catalog included, lies on a disk that is filled to the last byte; the store lies elsewhere.
    let script = format!(
        "mkdir disk; mount -t tmpfs -o size=16m none disk; cp -a home/. disk/; mount --bind home/store disk/store; \
         dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null || true; export N2S_HOME=$PWD/disk; code=0; {PUSH} || code=$?; \
         rm disk/filler; {PUSH}; $N2S pull --project p --dataset d --target out; exit $code"
    );
    mounted(&world, &script).code(1);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_full_disk_under_a_store_keeps_the_version_waiting() {
    let world = one_version();
    let script = format!(
        "mkdir disk; mount -t tmpfs -o size=2m none disk; cp -a home/store/. disk/; mount --bind disk home/store; timeout 30 {PUSH}"
    );
    let ended = mounted(&world, &script).code(1);
    assert!(format!("{}{}", ended.out, ended.err).contains("full"), "{ended:?}");
    world.n2s(&["backends", "resume", "store"]);
    completes_with_room(&world);
}

#[test]
fn a_read_only_home_can_be_read_or_says_what_to_do() {
    let world = one_version();
    let before = files(&world.path("home"));
    for command in ["pull --project p --dataset d --target out", "files --project p --dataset d", "status"] {
        let script = format!("mount --bind home home; mount -o remount,bind,ro home; $N2S {command}");
        let ended = mounted(&world, &script);
        assert!(ended.code == 0 || ended.err.contains("read-only"), "{command}: {ended:?}");
    }
    assert_eq!(files(&world.path("home")), before);
}

#[test]
fn a_push_to_a_read_only_home_changes_nothing() {
    let world = one_version();
    let before = files(&world.path("home"));
    let script = format!("mount --bind home home; mount -o remount,bind,ro home; {PUSH}");
    mounted(&world, &script).code(1).says(&["home"]);
    assert_eq!(files(&world.path("home")), before);
    completes_with_room(&world);
}
