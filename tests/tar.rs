//! Archives of versions, unpacked by programs that n2s has no part in: the system's tar, and Python's for paths that nothing unpacks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use n2s_tests::raw::{Raw, connect, head, request};
use n2s_tests::{World, assert_listed_same, assert_same, files, listed, served, until};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

fn latest(world: &World) -> String {
    world.json(&["changesets"])["changesets"][0]["changeset"].as_str().unwrap().to_owned()
}

fn archive(world: &World, query: &str) -> Raw {
    let changeset = latest(world);
    let server = world.server();
    let server = server.as_ref().unwrap();
    request(&server.url, &format!("GET /v1/changesets/{changeset}/archive{query}"), &server.token, &[], b"")
}

#[track_caller]
fn whole(answer: &Raw) -> Vec<u8> {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/x-tar")),
        "{answer:?}"
    );
    let (body, ended) = answer.chunks();
    assert!(ended, "the answer was cut");
    body
}

fn fed(mut command: Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn({
        let input = input.to_vec();
        move || drop(stdin.write_all(&input))
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn unpack(into: &Path, archive: &[u8]) -> Output {
    fs::create_dir_all(into).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--preserve-permissions", "--numeric-owner", "--directory"]).arg(into);
    fed(tar, archive)
}

fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that neither compress nor repeat.
fn random(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A tree of what the system's tar can unpack.
fn plant(world: &World) {
    let src = world.path("src");
    let byte_name = src.join(OsStr::from_bytes(b"caf\xe9 in Latin-1"));
    for (path, text) in [
        (byte_name, "latin"),
        (src.join("caf\u{e9}"), "nfc"),
        (src.join("cafe\u{301}"), "nfd"),
        (src.join("line\nbreak"), "newline"),
        (src.join("empty"), ""),
    ] {
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(src.join("no/body/here")).unwrap();
    fs::write(src.join("large"), random(9_000_001)).unwrap();
    let sparse = fs::File::create(src.join("sparse")).unwrap();
    sparse.set_len(40_000_000).unwrap();
    world.write("src/linked", "one file of three names");
    fs::hard_link(src.join("linked"), src.join("no/other name")).unwrap();
    fs::hard_link(src.join("linked"), src.join("third")).unwrap();
    symlink(OsStr::from_bytes(b"/nowhere/\xff"), src.join("dangling")).unwrap();
    fs::hard_link(src.join("dangling"), src.join("dangling, too")).unwrap();
    symlink("t".repeat(3_000), src.join("far")).unwrap();
    // 3,800 bytes, which with a target's name before them still is a path.
    let mut deep = src.clone();
    for _ in 0..19 {
        deep.push("d".repeat(199));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("leaf"), "deep").unwrap();
    fs::hard_link(deep.join("leaf"), src.join("to the leaf")).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(src.join("empty"), Some(12_345), Some(4_000_000_000)).unwrap();
        std::os::unix::fs::lchown(src.join("dangling"), Some(1), Some(2)).unwrap();
    }
    fs::set_permissions(src.join("large"), Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(src.join("no/body"), Permissions::from_mode(0o1555)).unwrap();
    set_mtime(&src.join("large"), 1_700_000_000, 123_456_789);
    set_mtime(&src.join("linked"), -2, 500_000_001);
    set_mtime(&src.join("far"), -1, 0);
    set_mtime(&src.join("no/body"), 5_000_000_000, 1);
    set_mtime(&src, 86_400, 999_999_999);
}

#[test]
fn the_systems_tar_unpacks_a_version_as_it_was() {
    let world = World::served();
    plant(&world);
    world.push(&[]).code(0);
    let unpacked = unpack(&world.path("out"), &whole(&archive(&world, "")));
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert_listed_same(&world.path("src"), &world.path("out"));
    assert_same(&world.path("src"), &world.path("out"));
    // A part of it.
    let unpacked = unpack(&world.path("part"), &whole(&archive(&world, "?path=no%2Fbody&path=caf*")));
    assert!(unpacked.status.success(), "{unpacked:?}");
    let names = |dir: &str| files(&world.path(dir)).len();
    assert!(
        world.path("part/no/body/here").is_dir() && names("part") == 3,
        "{:?}",
        files(&world.path("part"))
    );
    // One name of three by itself is a file.
    let unpacked = unpack(&world.path("third"), &whole(&archive(&world, "?path=third")));
    assert!(unpacked.status.success(), "{unpacked:?}");
    assert_eq!(fs::read(world.path("third/third")).unwrap(), b"one file of three names");
    let refused = |query: &str| archive(&world, query).problem();
    assert_eq!(
        (refused("?path=absent"), refused("?path=%5B"), refused("?glob=a")),
        triple("unknown", "invalid")
    );
}

fn triple(first: &str, rest: &str) -> (String, String, String) {
    (first.to_owned(), rest.to_owned(), rest.to_owned())
}

#[test]
fn an_archive_names_paths_that_no_tar_can_unpack() {
    let world = World::served();
    fs::remove_dir(world.path("src")).unwrap();
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("trees").join(name);
    let mut make = Command::new("python3");
    make.arg(script("make_tree.py")).arg(world.path("src"));
    if rustix::process::geteuid().is_root() {
        make.arg("--root-owned");
    }
    assert!(make.status().unwrap().success());
    world.push(&[]).code(0);
    let mut list = Command::new("python3");
    list.arg(script("list_tar.py"));
    let output = fed(list, &whole(&archive(&world, "")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (wanted, found) = (listed(&world.path("src")), String::from_utf8(output.stdout).unwrap());
    assert!(wanted.lines().any(|line| line.len() > 18_000), "the tree has no long path");
    let differing = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(wanted == found, "{differing:?}, {} and {}", wanted.lines().count(), found.lines().count());
}

#[test]
fn an_archive_that_cannot_be_whole_is_cut_or_refused() {
    let world = World::served();
    let before = || files(&world.path("home/store/blobs"));
    world.write("src/a", random(2_000_000));
    world.push(&[]).code(0);
    let first = before();
    world.write("src/b", "the second");
    world.push(&[]).code(0);
    let later: Vec<_> = before().into_iter().filter(|path| !first.contains(path)).collect();
    let aside = |path: &Path| path.with_extension("aside");
    // Which of them is the list of the version does not matter here: an archive is made from the catalog.
    for path in &later {
        fs::rename(path, aside(path)).unwrap();
    }
    let answer = archive(&world, "");
    let (body, ended) = answer.chunks();
    assert!(answer.status == 200 && !ended, "a hole was sent as a whole archive of {} bytes", body.len());
    assert!(!unpack(&world.path("cut"), &body).status.success(), "tar took it for whole");
    // Where nothing can be sent, it is said.
    let refused = archive(&world, "?path=b");
    assert_eq!((refused.status, refused.problem()), (410, "no-intact-copy".to_owned()));
    for path in &later {
        fs::rename(aside(path), path).unwrap();
    }
    let unpacked = unpack(&world.path("out"), &whole(&archive(&world, "")));
    assert!(unpacked.status.success());
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn archives_that_nobody_reads_hold_no_more_than_their_share() {
    let world = World::served();
    world.serve_with(&[("N2S_API__IN_FLIGHT_MIB", "64")]);
    world.write("src/large", random(60_000_000));
    world.push(&[]).code(0);
    let call = format!("GET /v1/changesets/{}/archive", latest(&world));
    let (url, token) = {
        let server = world.server();
        let server = server.as_ref().unwrap();
        (server.url.clone(), server.token.clone())
    };
    let mut unread = connect(&url);
    unread.write_all(head(&call, &token, &[]).as_bytes()).unwrap();
    // Its beginning has come, so it has its share.
    assert_eq!(unread.peek(&mut [0]).unwrap(), 1);
    let turned_away = request(&url, &call, &token, &[], b"");
    assert_eq!((turned_away.problem(), turned_away.header("retry-after")), ("busy".to_owned(), Some("1")));
    world.n2s(&["status"]).code(0);
    drop(unread);
    until("the share coming back", || request(&url, &call, &token, &[], b"").status == 200);
}

#[test]
fn what_another_vault_sealed_is_refused_with_what_to_do() {
    let (world, url, token) = served();
    world.write("src/a", "alpha");
    let with = |args: &[&str], home: &str| {
        let mut command = world.command(args);
        command.env("N2S_HOME", world.path(home));
        command
    };
    // A home of its own makes a vault; with that vault it then pushes to the server.
    let push = ["push", "--project", "q", "--dataset", "d", "src"];
    assert!(with(&push, "stranger").env_remove("N2S_SERVER").output().unwrap().status.success());
    assert!(with(&push, "stranger").output().unwrap().status.success());
    let call = format!("GET /v1/changesets/{}/archive", latest(&world));
    let refused = request(&url, &call, &token, &[], b"");
    assert_eq!(refused.problem(), "wrong-vault");
    assert!(refused.json()["detail"].as_str().unwrap().contains("n2s pull"), "{refused:?}");
}
