//! Files for readers that take paths, in memory where there is such a place.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The process's own directory, private to it, and empty at first.
pub(crate) fn dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
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
