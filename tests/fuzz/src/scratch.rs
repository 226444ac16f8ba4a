//! Files for readers that take paths.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The process's own directory, private to it, and empty at first. It is below `N2S_FUZZ_SCRATCH`, whose owner clears it away:
/// libFuzzer ends a process without asking it.
pub(crate) fn dir() -> PathBuf {
    let parent = std::env::var_os("N2S_FUZZ_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("n2s-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir).expect("scratch space can be written");
    std::fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("it is ours");
    dir
}

/// A file with this and nothing else, readable by its owner alone.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .expect("scratch space can be written");
    file.write_all(bytes).expect("scratch space has room");
}
