//! Paths as long as the kernel takes them at once, and longer: those exist only step by step, relative to open directories.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::fd::OwnedFd;

use n2s_tests::{World, assert_listed_same, listed};
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};

/// A name of 199 random bytes.
fn name(state: &mut u64) -> Vec<u8> {
    let random = std::iter::repeat_with(|| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[0]
    });
    random.filter(|b| !b"\0/".contains(b)).take(199).collect()
}

/// `count` chains of `levels` directories with names of 199 bytes; a file and a link at the bottom and in the middle of each.
fn dig(world: &World, count: usize, levels: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..count {
        let mut dir: OwnedFd = File::open(world.path("src")).unwrap().into();
        for level in 1..=levels {
            let name = name(&mut state);
            mkdirat(&dir, &name[..], Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            dir = openat(&dir, &name[..], flags, Mode::empty()).unwrap();
            if level == levels || level == levels / 2 {
                let flags = OFlags::CREATE | OFlags::WRONLY;
                let file = openat(&dir, "leaf", flags, Mode::RUSR | Mode::WUSR).unwrap();
                rustix::io::write(&file, format!("at level {level}").as_bytes()).unwrap();
                symlinkat("leaf", &dir, "link").unwrap();
            }
        }
    }
}

/// There and back, listed by descriptors: `find` and `diff` cannot name such paths.
#[track_caller]
fn round_trip(count: usize, levels: usize) -> World {
    let world = World::new();
    dig(&world, count, levels);
    world.push(&[]).code(0);
    world.pull("out", &["--verify"]).code(0);
    assert_listed_same(&world.path("src"), &world.path("out"));
    assert_eq!(listed(&world.path("out")).matches("\"file\"").count(), 2 * count, "the lister saw no leaves");
    world.settled();
    world
}

#[test]
fn random_paths_of_4000_bytes() {
    round_trip(3, 20);
}

#[test]
fn random_paths_longer_than_the_kernel_takes_at_once() {
    // 9,000 bytes: more than twice PATH_MAX.
    let world = round_trip(2, 45);
    // An unchanged tree is known as such down there, too, and what is there already is kept.
    let again = world.push(&["--output", "json"]).code(0).json();
    assert_eq!((&again["put"], &again["removed"]), (&0.into(), &0.into()), "{again}");
    let pulled = world.pull("out", &["--force", "--output", "json"]).code(0).json();
    assert_eq!(pulled["kept"], 4, "{pulled}");
    assert_listed_same(&world.path("src"), &world.path("out"));
}
