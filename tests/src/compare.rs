//! What lies in a directory, told by programs that n2s has no part in, and whether two trees are the same.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every file below a directory; none when it is not there.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let (dirs, mut found): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir() && !path.is_symlink());
    found.extend(dirs.iter().flat_map(|dir| files(dir)));
    found.sort();
    found
}

/// What `find` says of a tree: a listing n2s has no part in. Sockets and the like are left out, as they are not stored.
pub fn listing(dir: &Path) -> Vec<String> {
    let find = |kinds: &str, format: &str| {
        let output = Command::new("find")
            .args([".", "-type", kinds, "-printf", format])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = output.stdout.split(|&b| b == 0).filter(|line| !line.is_empty());
        lines.map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    let mut lines = find("f,l", "%P %y %m %U %G %T@ %s %n %l\\0");
    lines.extend(find("d", "%P %y %m %U %G %T@\\0"));
    lines.sort();
    lines
}

/// Asserts that two trees are the same in names, kinds, modes, owners, times, links and bytes.
#[track_caller]
pub fn assert_same(a: &Path, b: &Path) {
    assert_eq!(listing(a), listing(b));
    let diff = Command::new("diff").args(["-r", "--no-dereference"]).arg(a).arg(b).output().unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

/// What `trees/list_tree.py` says of a tree: every path, kind, mode, owner, time, size, digest, target and group of links.
pub fn listed(dir: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("trees/list_tree.py");
    let output = Command::new("python3").arg(script).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that two trees are the same in all that `listed` tells, whatever the length of their paths.
#[track_caller]
pub fn assert_listed_same(a: &Path, b: &Path) {
    let (a, b) = (listed(a), listed(b));
    let differing = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    assert!(a == b, "{differing:?}, {} and {} entries", a.lines().count(), b.lines().count());
}
