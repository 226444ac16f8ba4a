//! What is killed: commands, and the worlds they find.

use std::fs;
use std::process::Command;

use n2s_failpoints::Point;
use n2s_tests::World;

use crate::stage::Stage;

/// A command and how its world is made.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub prepare: fn(&Stage),
    pub args: &'static [&'static str],
    /// Points that only this scenario reaches, or where it differs; empty for all that it reaches.
    pub points: &'static [Point],
    /// Whether the kill comes in the middle of a point's hits, rather than at the first.
    pub late: bool,
}

const PUSH: &[&str] = &["push", "--project", "p", "--dataset", "d", "src"];
const TAKE_OVER: &[&str] = &["push", "--project", "p", "--dataset", "d", "--take-over", "src"];
const PULL: &[&str] = &["pull", "--project", "p", "--dataset", "d", "--target", "out"];

/// The very first command: vault, store, catalog and version 1 come into being.
pub const FIRST_PUSH: Scenario = Scenario { prepare: tree, args: PUSH, points: &[], late: false };
/// A second version, on two stores.
pub const SECOND_PUSH: Scenario = Scenario { prepare: two_versions, args: PUSH, points: &[], late: true };
/// A pull of everything.
pub const A_PULL: Scenario = Scenario { prepare: one_version, args: PULL, points: &[], late: true };
/// A new sealing epoch.
pub const ROTATION: Scenario =
    Scenario { prepare: two_versions, args: &["keys", "rotate"], points: &[], late: false };
/// A push that undoes another's.
pub const TAKING_OVER: Scenario = Scenario {
    prepare: half_a_push,
    args: TAKE_OVER,
    points: &[Point::PushOpened, Point::UndoStep, Point::ClientOpened, Point::EntriesRecorded],
    late: false,
};
/// A store that joins later is made whole.
pub const SYNCING: Scenario = Scenario {
    prepare: another_store,
    args: &["backends", "sync", "two"],
    points: &[
        Point::CatalogCommitting,
        Point::Marked,
        Point::Claimed,
        Point::Answered,
        Point::HeaderPut,
        Point::Finished,
        Point::Folded,
        Point::SyncBegun,
        Point::SyncStep,
        Point::SyncEnded,
    ],
    late: true,
};
/// Those that run to their end when nothing is killed.
pub const ALL: &[Scenario] = &[FIRST_PUSH, SECOND_PUSH, A_PULL, ROTATION, TAKING_OVER, SYNCING];

/// What is killed in `n2s up`, which never ends by itself.
pub const SWEEPING: &[Point] = &[Point::SweeperFreeing, Point::SweeperFreed];
/// What no command of one machine comes to: `faults/` kills there.
pub const IN_A_FLEET: &[Point] = &[Point::Sent];
/// Staging above its mark, and one store that has what is staged.
pub const FULL_STAGING: Scenario =
    Scenario { prepare: full_staging, args: PUSH, points: SWEEPING, late: false };
/// A day after a kill that left staged objects without a row.
pub const ORPHANS: Scenario = Scenario { prepare: orphans, args: PUSH, points: SWEEPING, late: false };

fn tree(stage: &Stage) {
    let world = &stage.world;
    for n in 0..12 {
        world.write(&format!("src/{}/file-{n}", n % 3), format!("content {} ", n / 2).repeat(50 * n));
    }
    world.write("src/empty", "");
    fs::hard_link(world.path("src/0/file-3"), world.path("src/1/linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", world.path("src/dangling")).unwrap();
    stage.snapshot();
}

fn add_store(world: &World, name: &str) {
    world.n2s(&["backends", "add", name, "--path", world.path(name).to_str().unwrap()]).code(0);
}

fn one_version(stage: &Stage) {
    add_store(&stage.world, "one");
    add_store(&stage.world, "two");
    push_first(&stage.world);
    if !stage.world.path("snapshot").exists() {
        stage.snapshot();
    }
}

fn another_store(stage: &Stage) {
    add_store(&stage.world, "one");
    push_first(&stage.world);
    add_store(&stage.world, "two");
    stage.snapshot();
}

fn push_first(world: &World) {
    for n in 0..12 {
        world.write(&format!("src/{}/file-{n}", n % 3), format!("content {} ", n / 2).repeat(50 * n));
    }
    world.push(&[]).code(0);
    let copied = Command::new("cp").arg("-a").arg(world.path("src")).arg(world.path("v1")).status();
    assert!(copied.unwrap().success());
}

fn changed(world: &World) {
    for n in 6..18 {
        world.write(&format!("src/{}/file-{n}", n % 4), format!("another {} ", n / 2).repeat(50 * n));
    }
    fs::remove_file(world.path("src/1/file-1")).unwrap();
    // Larger than a blob, and cheap: pieces of zeros. It also closes a batch.
    world.write("src/2/large", "begin");
    fs::File::options().write(true).open(world.path("src/2/large")).unwrap().set_len(17 << 20).unwrap();
}

fn with_version(stage: &Stage, then: impl FnOnce(&World)) {
    // So that `one_version` takes none.
    fs::create_dir(stage.world.path("snapshot")).unwrap();
    one_version(stage);
    fs::remove_dir(stage.world.path("snapshot")).unwrap();
    changed(&stage.world);
    then(&stage.world);
    stage.snapshot();
}

fn two_versions(stage: &Stage) {
    with_version(stage, |_| {});
}

fn killed_at(stage: &Stage, point: Point) {
    assert!(stage.run(PUSH, &[("N2S_FAILPOINT", point.name())]).is_none());
}

fn half_a_push(stage: &Stage) {
    with_version(stage, |_| killed_at(stage, Point::BatchEntered));
}

fn full_staging(stage: &Stage) {
    with_version(stage, |world| {
        // Something is on one store and not on the other.
        world.n2s(&["backends", "pause", "two"]).code(0);
        killed_at(stage, Point::Finished);
        let mut config = fs::read_to_string(world.path("home/config.toml")).unwrap();
        config.push_str("\n[staging]\nhigh_water_mib = 0\n");
        fs::write(world.path("home/config.toml"), config).unwrap();
    });
}

fn orphans(stage: &Stage) {
    with_version(stage, |_| killed_at(stage, Point::Staged));
}
