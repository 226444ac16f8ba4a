//! Giving written bytes their name.

use std::io;
use std::path::Path;

use n2s_failpoints::{Point, failpoint};
use n2s_storage::Put;

use super::Inner;

/// Moves a temporary to its name, making the directories on the way.
pub(super) fn place(inner: &Inner, temp: &Path, put: &Put, overwrite: bool) -> io::Result<()> {
    let target = inner.path(&put.key);
    let placed = with_dirs(inner, put, || inner.disk.rename(temp, &target, overwrite));
    match placed {
        Err(error) if !overwrite && error.kind() == io::ErrorKind::AlreadyExists => {
            // Somebody else stored under this name since we looked.
            same(&target, put)?;
            inner.disk.remove(temp)
        }
        other => other.inspect(|()| failpoint(Point::LocalNamed)),
    }
}

/// Does `step`, which needs the directories of an object, and makes these where they are not there yet.
pub(super) fn with_dirs<T>(inner: &Inner, put: &Put, step: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match step() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(inner, put)?;
            step()
        }
        other => other,
    }
}

/// Makes the directories of an object, one level at a time, so that a missing root stays missing.
fn make_dirs(inner: &Inner, put: &Put) -> io::Result<()> {
    let mut dir = inner.root.clone();
    for component in Path::new(put.key.as_str()).parent().unwrap_or(Path::new("")) {
        dir.push(component);
        inner.disk.make_dir(&dir)?;
    }
    Ok(())
}

/// Accepts an object that is there already if it is byte for byte the one to store.
pub(super) fn same(target: &Path, put: &Put) -> io::Result<()> {
    let bytes = put.body.bytes();
    if std::fs::metadata(target)?.len() == bytes.len() as u64 && std::fs::read(target)? == bytes[..] {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes are stored under this name"))
}
