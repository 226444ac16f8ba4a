//! Versions stay what they were, and a push of what did not change costs nothing.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use n2s_tests::World;

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
