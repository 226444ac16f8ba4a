//! Files that vanish, grow and change while they are pushed: what is stored is one state that existed, or it is reported.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use n2s_tests::{World, assert_same, until};

/// A push that has walked the whole source and is held before it reads what lies below `2/`: it reads a file of four terabytes,
/// with as many full batches behind it as are ever under way.
fn walked_but_not_read(world: &World) -> (n2s_tests::Running, File) {
    let endless = world.path("src/0-endless");
    File::create(&endless).unwrap().set_len(1 << 42).unwrap();
    fs::create_dir(world.path("src/1")).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    for n in 0..cores + 4 {
        // One batch holds 4 MiB.
        File::create(world.path(&format!("src/1/{n}"))).unwrap().set_len(4 << 20).unwrap();
    }
    // A file that was changed a moment ago is opened and looked at again before it is read.
    let changed = fs::metadata(&endless).unwrap().modified().unwrap();
    until("the file at rest", || changed.elapsed().is_ok_and(|age| age.as_millis() > 500));
    let mut push = world.start_listening(&["push", "--project", "p", "--dataset", "d", "src"]);
    until("the push reading", || push.has_open(&endless));
    (push, OpenOptions::new().write(true).open(endless).unwrap())
}

#[test]
fn what_vanishes_or_is_replaced_between_walk_and_read_is_reported_and_what_grows_is_whole() {
    let world = World::new();
    (0..20).for_each(|n| world.write(&format!("src/3/{n}"), "at rest"));
    for name in
        ["2/vanishes", "2/grows", "2/becomes-dir", "2/becomes-link", "2/dir/vanishes", "2/renamed", "2/stays"]
    {
        world.write(&format!("src/{name}"), "first");
    }
    world.push(&[]).code(0);
    for name in ["vanishes", "grows", "becomes-dir", "becomes-link", "dir/vanishes", "renamed", "stays"] {
        world.write(&format!("src/2/{name}"), "second, and longer");
    }
    let (push, endless) = walked_but_not_read(&world);
    let path = |name: &str| world.path("src/2").join(name);
    fs::remove_file(path("vanishes")).unwrap();
    fs::remove_dir_all(path("dir")).unwrap();
    fs::rename(path("renamed"), path("to")).unwrap();
    for name in ["becomes-dir", "becomes-link"] {
        fs::remove_file(path(name)).unwrap();
    }
    world.write("src/2/becomes-dir/inside", "new");
    symlink("stays", path("becomes-link")).unwrap();
    OpenOptions::new().append(true).open(path("grows")).unwrap().write_all(b", and longer").unwrap();
    endless.set_len(3).unwrap();
    let ended = push.wait().code(1);
    for name in ["vanishes", "dir/vanishes", "renamed", "becomes-dir", "becomes-link"] {
        let told = format!("2/{name}: it vanished or was replaced");
        assert!(ended.err.contains(&told), "'{told}' is missing in {}", ended.err);
    }
    assert!(ended.err.contains("0-endless: it changed while it was read"), "{}", ended.err);
    assert_eq!(ended.err.matches("the next push will see").count(), 5, "{}", ended.err);
    world.pull("out", &["2"]).code(0);
    let read = |name: &str| fs::read_to_string(world.path("out/2").join(name)).unwrap();
    assert_eq!(
        (&read("grows")[..], &read("stays")[..]),
        ("second, and longer, and longer", "second, and longer")
    );
    let mut names: Vec<_> =
        fs::read_dir(world.path("out/2")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dir", "grows", "stays"], "what was gone when it was to be read is in the version");
    // At rest, the next push is whole.
    world.push(&[]).code(0);
    world.pull("rest", &["--verify"]).code(0);
    assert_same(&world.path("src"), &world.path("rest"));
    world.settled();
}

/// Counts up at the beginning of a file, then at its end, again and again until told to stop. Whatever a reader finds at one
/// moment, the beginning is the end's number or the next one.
fn count_up(path: &Path, bytes: u64, stop: &AtomicBool) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let mut number = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        for at in [0, bytes - 8] {
            file.write_all_at(&number.to_le_bytes(), at).unwrap();
        }
        number += 1;
    }
}

fn is_one_state(path: &Path, bytes: u64) -> bool {
    let file = File::open(path).unwrap();
    let number = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    file.metadata().unwrap().len() == bytes
        && number(0).checked_sub(number(bytes - 8)).is_some_and(|ahead| ahead < 2)
}

/// Writers never pause: each file that comes back is of one moment, or the push that stored it said that it may not be.
#[test]
fn a_file_that_is_rewritten_all_the_time_is_never_torn_in_silence() {
    let world = World::new();
    // Read at once, and read in pieces.
    let sizes = [("small", 4 << 20), ("small-too", 12 << 20), ("large", 24 << 20)];
    for (name, bytes) in sizes {
        world.write(&format!("src/{name}"), "");
        OpenOptions::new().write(true).open(world.path("src").join(name)).unwrap().set_len(bytes).unwrap();
    }
    let stop = AtomicBool::new(false);
    let pushes = std::thread::scope(|scope| {
        for (name, bytes) in sizes {
            let (path, stop) = (world.path("src").join(name), &stop);
            scope.spawn(move || count_up(&path, bytes, stop));
        }
        // Stops the writers whatever happens, or the scope would wait for them for ever.
        let pushes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (1..=3).map(|_| world.push(&["--checksum"])).collect::<Vec<_>>()
        }));
        stop.store(true, Ordering::Relaxed);
        pushes
    });
    for (at, ended) in pushes.unwrap().into_iter().enumerate() {
        let (version, out) = ((at + 1).to_string(), format!("out-{at}"));
        world.pull(&out, &["--version", &version, "--verify"]).code(0);
        let told =
            |name: &str| ended.err.lines().any(|line| line.starts_with(&format!("{name}: it changed")));
        for (name, bytes) in sizes {
            let path = world.path(&out).join(name);
            assert!(
                told(name) || is_one_state(&path, bytes),
                "{name} of version {version} is torn: {ended:?}"
            );
        }
        let any = sizes.iter().any(|(name, _)| told(name));
        assert_eq!(ended.code, i32::from(any), "{ended:?}");
    }
    // What was stored of files that moved is not trusted: at rest they are read again.
    world.push(&[]).code(0);
    world.pull("rest", &[]).code(0);
    assert_same(&world.path("src"), &world.path("rest"));
}
