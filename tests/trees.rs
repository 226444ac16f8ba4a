//! Any Unix tree comes back exactly as it was, compared with `find` and `diff`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use n2s_tests::{World, assert_same};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};

fn round_trip(world: &World) {
    world.push(&[]).code(0);
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.settled();
}

fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn names_of_any_bytes() {
    let world = World::new();
    let long = "n".repeat(255);
    for name in [
        &b"not utf-8 \xff\xfe"[..],
        "caf\u{e9}".as_bytes(),
        "cafe\u{301}".as_bytes(),
        b"line\nbreak",
        b"back\\slash",
        long.as_bytes(),
        b" ",
        b"-rf",
        b"\x01",
    ] {
        fs::write(world.path("src").join(OsStr::from_bytes(name)), name).unwrap();
    }
    round_trip(&world);
    assert_eq!(fs::read_dir(world.path("out")).unwrap().count(), 9, "NFC and NFD twins are two files");
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let world = World::new();
    let mut dir: OwnedFd = File::open(world.path("src")).unwrap().into();
    for level in 0..24 {
        let name = format!("{level:03}{}", "x".repeat(200));
        rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let file =
        rustix::fs::openat(dir.as_fd(), "leaf", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR)
            .unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    drop((file, dir));
    world.push(&[]).code(0);
    world.pull("out", &["--verify"]).code(0);
    // `diff` cannot name such paths, `find` can: it walks by changing directories.
    assert_eq!(n2s_tests::listing(&world.path("src")), n2s_tests::listing(&world.path("out")));
}

#[test]
fn links_of_both_kinds() {
    let world = World::new();
    world.write("src/file", "content");
    for (name, to) in [
        ("dangling", "nowhere"),
        ("absolute", "/etc/passwd"),
        ("loop", "loop"),
        ("up", "../../.."),
        ("dir-link", "sub"),
    ] {
        symlink(to, world.path("src").join(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"\xff/\xfe"), world.path("src/bytes")).unwrap();
    fs::create_dir(world.path("src/sub")).unwrap();
    fs::hard_link(world.path("src/file"), world.path("src/sub/same")).unwrap();
    set_mtime(&world.path("src/dangling"), 1_000_000_000, 5);
    round_trip(&world);
    let inode = |name: &str| fs::metadata(world.path("out").join(name)).unwrap().ino();
    assert_eq!(inode("file"), inode("sub/same"));
}

#[test]
fn one_name_of_a_hard_linked_file_is_pulled_by_itself() {
    let world = World::new();
    world.write("src/a", "content");
    fs::hard_link(world.path("src/a"), world.path("src/b")).unwrap();
    world.push(&[]).code(0);
    world.pull("out", &["b"]).code(0);
    assert_eq!(fs::read(world.path("out/b")).unwrap(), b"content");
    assert!(!world.path("out/a").exists());
}

#[test]
fn empty_things_modes_and_owners() {
    let world = World::new();
    fs::create_dir_all(world.path("src/empty/er")).unwrap();
    world.write("src/zero", "");
    for mode in [0o000, 0o444, 0o755, 0o4755, 0o2711, 0o1777] {
        let name = format!("src/mode-{mode:o}");
        world.write(&name, "m");
        fs::set_permissions(world.path(&name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(world.path("src/sticky")).unwrap();
    fs::set_permissions(world.path("src/sticky"), fs::Permissions::from_mode(0o1770)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(world.path("src/zero"), Some(1234), Some(4321)).unwrap();
        round_trip(&world);
    } else {
        // Others' files cannot be made or read without root; what can be is compared.
        fs::remove_file(world.path("src/mode-0")).unwrap();
        round_trip(&world);
    }
}

#[test]
fn times_to_the_nanosecond_and_before_1970() {
    let world = World::new();
    for (name, secs, nanos) in [
        ("old", -1, 999_999_999),
        ("epoch", 0, 0),
        ("new", 1_700_000_000, 123_456_789),
        ("far", 4_000_000_000, 1),
    ] {
        world.write(&format!("src/{name}"), name);
        set_mtime(&world.path(&format!("src/{name}")), secs, nanos);
    }
    fs::create_dir(world.path("src/dir")).unwrap();
    set_mtime(&world.path("src/dir"), -86_400, 7);
    set_mtime(&world.path("src"), 1_000, 9);
    round_trip(&world);
}

#[test]
fn a_sparse_file_of_8_gib_stays_small() {
    let world = World::new();
    let file = File::create(world.path("src/sparse")).unwrap();
    file.set_len(8 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"an island", 5 << 30).unwrap();
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    let out = fs::metadata(world.path("out/sparse")).unwrap();
    assert_eq!((out.len(), out.blocks() < 4_096), (8 << 30, true), "{} blocks", out.blocks());
    let same = std::process::Command::new("cmp")
        .arg(world.path("src/sparse"))
        .arg(world.path("out/sparse"))
        .status();
    assert!(same.unwrap().success());
}

#[test]
fn special_files_are_reported_and_not_stored() {
    let world = World::new();
    world.write("src/file", "x");
    rustix::fs::mknodat(CWD, world.path("src/pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    world.push(&[]).code(0).says(&["pipe: a FIFO is not stored"]);
    world.pull("out", &[]).code(0);
    assert!(!world.path("out/pipe").exists() && world.path("out/file").exists());
}

#[test]
fn one_content_under_two_paths_keeps_two_metadata() {
    let world = World::new();
    world.write("src/a", "same");
    world.write("src/b", "same");
    set_mtime(&world.path("src/a"), 1_000, 0);
    set_mtime(&world.path("src/b"), 2_000, 0);
    fs::set_permissions(world.path("src/b"), fs::Permissions::from_mode(0o600)).unwrap();
    round_trip(&world);
    // The content, the list and the map: three blobs, not four.
    assert_eq!(world.json(&["status"])["backends"][0]["completed"], 3);
}

#[test]
fn every_version_stays_what_it_was() {
    let world = World::new();
    for (version, content) in [(1, "one"), (2, "two"), (3, "three")] {
        world.write("src/file", content);
        world.write(&format!("src/only-{version}"), content);
        if version > 1 {
            fs::remove_file(world.path(&format!("src/only-{}", version - 1))).unwrap();
        }
        world.push(&["--snapshot", &format!("label-{version}")]).code(0);
    }
    for (version, content) in [("1", "one"), ("2", "two"), ("3", "three")] {
        world.pull(&format!("v{version}"), &["--version", version]).code(0);
        assert_eq!(fs::read_to_string(world.path(&format!("v{version}/file"))).unwrap(), content);
        assert_eq!(fs::read_dir(world.path(&format!("v{version}"))).unwrap().count(), 2);
    }
    world.pull("label", &["--snapshot", "label-2"]).code(0);
    assert!(world.path("label/only-2").exists());
}

#[test]
fn an_unchanged_push_reads_and_records_nothing() {
    let world = World::new();
    (0..50).for_each(|n| world.write(&format!("src/{n}"), format!("{n}")));
    // Files changed a moment ago are read once more, because a later write could carry the same ctime.
    let clock = File::create(world.path("clock")).unwrap();
    let start = fs::metadata(world.path("src/49")).unwrap().ctime_nsec();
    while clock.set_len(0).is_ok() && (clock.metadata().unwrap().ctime_nsec() - start).abs() < 200_000_000 {
        std::thread::yield_now();
    }
    world.push(&[]).code(0);
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!(
        (&again["put"], &again["removed"], &again["read_bytes"]),
        (&0.into(), &0.into(), &0.into()),
        "{again}"
    );
    world.write("src/7", "changed");
    let third = world.push(&["--output", "json"]).code(0).json();
    assert_eq!((&third["put"], &third["unchanged"]), (&1.into(), &50.into()), "{third}");
}
