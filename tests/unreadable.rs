//! What cannot be read is carried forward as it was and reported; it is never taken for removed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use n2s_tests::{Ended, Running, World, assert_same};

/// Pushes as somebody who may not read everything: root, who may, gives the world away and pushes as another.
fn push_as_somebody(world: &World) -> Ended {
    let args = ["push", "--project", "p", "--dataset", "d", "src"];
    if !rustix::process::geteuid().is_root() {
        return world.n2s(&args);
    }
    let owner = Command::new("chown").args(["-R", "65534:65534"]).arg(world.path(".")).status();
    assert!(owner.unwrap().success());
    let somebody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut command = Command::new("setpriv");
    command.args(somebody).arg(n2s_tests::binary()).args(args);
    command.current_dir(world.path(".")).env("N2S_HOME", world.path("home"));
    command.output().unwrap().into()
}

/// Closes `closed`, changes and removes what lies beside it, and pushes: a warning, exit 1, and the rest is recorded.
#[track_caller]
fn carried_forward(closed: &str, says: &str) {
    let world = World::new();
    world.write("src/beside", "first");
    world.write("src/removed", "first");
    world.write("src/dir/inside/deep", "kept");
    world.write("src/file", "kept, too");
    world.push(&[]).code(0);
    let mode = |mode| fs::set_permissions(world.path(closed), fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    fs::write(world.path("src/beside"), "changed").unwrap();
    fs::remove_file(world.path("src/removed")).unwrap();
    push_as_somebody(&world).code(1).says(&[says]);
    mode(0o755);
    world.pull("out", &[]).code(0);
    let read = |path: &str| fs::read_to_string(world.path("out").join(path)).unwrap();
    assert_eq!((read("dir/inside/deep"), read("file")), ("kept".to_owned(), "kept, too".to_owned()));
    assert_eq!(read("beside"), "changed", "what could be read was not recorded");
    assert!(!world.path("out/removed").exists(), "a removal beside it was not recorded");
    // Once it can be read again, the next push is whole.
    world.push(&[]).code(0);
    world.pull("again", &[]).code(0);
    assert_same(&world.path("src"), &world.path("again"));
    world.settled();
}

#[test]
fn an_unreadable_file_keeps_its_last_version() {
    carried_forward("src/file", "file: it could not be read");
}

#[test]
fn an_unreadable_directory_keeps_everything_below_it() {
    carried_forward("src/dir", "dir: its contents could not be read");
}

/// Holds a lease on a file, as file servers do for their clients, and gives it up when it is asked to.
const HOLDER: &str = "import fcntl, os, signal, sys\n\
    fd = os.open(sys.argv[1], os.O_RDWR)\n\
    signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK))\n\
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
    print('held', file=sys.stderr, flush=True)\n\
    while True: signal.pause()";

#[test]
fn a_file_under_a_lease_is_waited_for() {
    let world = World::new();
    world.write("src/leased", "content");
    let mut python = Command::new("python3");
    let mut holder = Running::spawn(
        python.args(["-c", HOLDER, "src/leased"]).current_dir(world.path("")).stderr(Stdio::piped()),
    );
    assert_eq!(holder.line().as_deref(), Some("held"));
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}
