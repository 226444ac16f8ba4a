//! Any Unix tree comes back exactly as it was, compared with `find`, `diff` and `list_tree.py`, which n2s has no part in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use n2s_tests::{World, assert_listed_same, assert_same};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

fn round_trip(world: &World) {
    world.push(&[]).code(0);
    world.pull("out", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    assert_listed_same(&world.path("src"), &world.path("out"));
    world.settled();
}

fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Makes one file of each name, brings them there and back, and looks for each.
fn named(names: &[&[u8]]) {
    let world = World::new();
    for name in names {
        fs::write(world.path("src").join(OsStr::from_bytes(name)), name).unwrap();
    }
    round_trip(&world);
    for name in names {
        assert_eq!(fs::read(world.path("out").join(OsStr::from_bytes(name))).unwrap(), *name);
    }
    assert_eq!(fs::read_dir(world.path("out")).unwrap().count(), names.len());
}

#[test]
fn names_that_are_not_utf_8() {
    named(&[b"not utf-8 \xff\xfe", b"\xc3", b"\x80\x80", b"ok"]);
}

#[test]
fn nfc_and_nfd_twins_are_two_files() {
    named(&["caf\u{e9}".as_bytes(), "cafe\u{301}".as_bytes()]);
}

#[test]
fn names_of_255_bytes() {
    named(&[&[b'n'; 255], &[b'm'; 255], &[0xff; 255]]);
}

#[test]
fn names_with_newlines() {
    named(&[b"line\nbreak", b"\n", b"line\rbreak", b"end\n"]);
}

#[test]
fn names_that_tools_trip_over() {
    named(&[b"back\\slash", b" ", b"-rf", b"\x01", b"...", b"*", b"'\""]);
}

/// Makes symbolic links, brings them there and back, and reads each.
fn linked(links: &[(&[u8], &[u8])]) {
    let world = World::new();
    for (name, to) in links {
        symlink(OsStr::from_bytes(to), world.path("src").join(OsStr::from_bytes(name))).unwrap();
    }
    round_trip(&world);
    for (name, to) in links {
        let found = fs::read_link(world.path("out").join(OsStr::from_bytes(name))).unwrap();
        assert_eq!(found.as_os_str().as_bytes(), *to);
    }
}

#[test]
fn dangling_symbolic_links() {
    linked(&[(b"dangling", b"nowhere"), (b"up", b"../../../nowhere"), (b"bytes", b"\xff/\xfe\n")]);
}

#[test]
fn absolute_symbolic_links() {
    linked(&[(b"file", b"/etc/passwd"), (b"dir", b"/"), (b"none", b"/no/such/thing")]);
}

#[test]
fn symbolic_links_that_loop() {
    linked(&[(b"self", b"self"), (b"a", b"b"), (b"b", b"a"), (b"here", b".")]);
}

#[test]
fn a_whole_group_of_hard_links_stays_linked() {
    let world = World::new();
    world.write("src/file", "content");
    fs::create_dir(world.path("src/sub")).unwrap();
    for name in ["src/sub/same", "src/third"] {
        fs::hard_link(world.path("src/file"), world.path(name)).unwrap();
    }
    world.write("src/apart", "content");
    round_trip(&world);
    let inode = |name: &str| fs::metadata(world.path("out").join(name)).unwrap().ino();
    assert!(inode("file") == inode("sub/same") && inode("file") == inode("third"));
    assert_ne!(inode("file"), inode("apart"), "equal contents are not a hard link");
}

#[test]
fn hard_linked_symbolic_links_stay_linked() {
    let world = World::new();
    symlink("nowhere", world.path("src/a")).unwrap();
    fs::hard_link(world.path("src/a"), world.path("src/b")).unwrap();
    round_trip(&world);
    let inode = |name: &str| fs::symlink_metadata(world.path("out").join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
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
fn empty_files() {
    named_empty(|path| fs::write(path, "").unwrap());
}

#[test]
fn empty_directories() {
    named_empty(|path| fs::create_dir_all(path.join("er")).unwrap());
}

fn named_empty(make: impl Fn(&Path)) {
    let world = World::new();
    make(&world.path("src/empty"));
    round_trip(&world);
    assert!(world.path("out/empty").exists());
}

#[test]
fn modes_of_files_and_directories() {
    let world = World::new();
    let mode = |path: &str, mode| {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for bits in [0o000, 0o444, 0o755, 0o4755, 0o2711, 0o1777] {
        // Nobody but root can read a file of mode 0; what cannot be read has its own test.
        if bits != 0 || rustix::process::geteuid().is_root() {
            world.write(&format!("src/file-{bits:o}"), "m");
            mode(&format!("src/file-{bits:o}"), bits);
        }
    }
    for bits in [0o700, 0o1770, 0o2755, 0o555] {
        fs::create_dir(world.path(&format!("src/dir-{bits:o}"))).unwrap();
        mode(&format!("src/dir-{bits:o}"), bits);
    }
    round_trip(&world);
}

#[test]
fn owners_of_files_directories_and_links() {
    let world = World::new();
    world.write("src/file", "x");
    world.write("src/setuid", "x");
    fs::create_dir(world.path("src/dir")).unwrap();
    symlink("file", world.path("src/link")).unwrap();
    // Without root there is one owner only, which must come back all the same.
    if rustix::process::geteuid().is_root() {
        for (id, name) in [(1234, "src/file"), (1235, "src/dir"), (1236, "src/link"), (1237, "src/setuid")] {
            std::os::unix::fs::lchown(world.path(name), Some(id), Some(id + 1000)).unwrap();
        }
    }
    fs::set_permissions(world.path("src/setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    round_trip(&world);
}

/// Times that a signed count of seconds, a float or a rounding would get wrong.
const TIMES: [(i64, i64); 5] =
    [(-1, 999_999_999), (-86_400, 7), (0, 0), (1_700_000_000, 123_456_789), (4_000_000_000, 1)];

fn timed(make: impl Fn(&Path)) {
    let world = World::new();
    for (at, (secs, nanos)) in TIMES.into_iter().enumerate() {
        let path = world.path(&format!("src/{at}"));
        make(&path);
        set_mtime(&path, secs, nanos);
    }
    set_mtime(&world.path("src"), 1_000, 9);
    round_trip(&world);
    for (at, (secs, nanos)) in TIMES.into_iter().enumerate() {
        let found = fs::symlink_metadata(world.path(&format!("out/{at}"))).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (secs, nanos));
    }
}

#[test]
fn times_of_files() {
    timed(|path| fs::write(path, "x").unwrap());
}

#[test]
fn times_of_directories() {
    timed(|path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
    });
}

#[test]
fn times_of_symbolic_links() {
    timed(|path| symlink("nowhere", path).unwrap());
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

/// What is special is named in a warning; the file beside it is stored.
fn special(name: &str, make: impl Fn(&Path)) {
    let world = World::new();
    world.write("src/file", "x");
    make(&world.path(&format!("src/{name}")));
    world.push(&[]).code(0).says(&[&format!("{name}: a "), "is not stored"]);
    world.pull("out", &[]).code(0);
    assert!(!world.path(&format!("out/{name}")).exists() && world.path("out/file").exists());
}

#[test]
fn a_fifo_is_reported_and_not_stored() {
    special("pipe", |path| {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    });
}

#[test]
fn a_socket_is_reported_and_not_stored() {
    special("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()));
}

#[test]
fn a_device_is_reported_and_not_stored() {
    // Nobody but root can make one.
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        special("null", |path| {
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, null).unwrap();
        });
    }
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
