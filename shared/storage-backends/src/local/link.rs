//! Taking over staged bytes without writing them again.
//!
//! The link is made under the object's own name: what it links is on the disk already, so that there is nothing to wait for before
//! the bytes may be seen. Rejected: a link among the temporaries, renamed later, which costs two more changes of directories and
//! waits for the file system's one lock for renames.
//!
//! Two stores that shared an inode would be damaged together. Who finds that another store has linked the same file at the same
//! moment puts a copy in the place of his link; who dies in between finds it when the put is tried again, while staging still has
//! the file.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use n2s_failpoints::{Point, failpoint};
use n2s_storage::{Body, Put};

use super::Inner;
use super::place::with_dirs;

/// What came of it.
pub(super) enum Linked {
    /// The object is in place, its inode shared with staging only.
    Alone,
    /// It is in place, but another store has the inode too: a copy must replace it.
    Shared,
    /// Nothing was linked.
    No,
}

/// Links a staged body to `target`, which was not there a moment ago, if that makes this store the only one to share its inode.
pub(super) fn link_alone(inner: &Inner, put: &Put, target: &Path) -> io::Result<Linked> {
    let Body::File { path, .. } = &put.body else { return Ok(Linked::No) };
    if !std::fs::metadata(path).is_ok_and(|source| source.nlink() == 1) {
        return Ok(Linked::No);
    }
    // Another file system, one without links, a source that is gone, a name that was taken meanwhile: writing finds out.
    if with_dirs(inner, put, || inner.disk.link(path, target)).is_err() {
        return Ok(Linked::No);
    }
    failpoint(Point::LocalLinked);
    Ok(if std::fs::metadata(target)?.nlink() == 2 { Linked::Alone } else { Linked::Shared })
}

/// Whether an object is a link to the staged body that a third name has, too.
pub(super) fn is_shared(object: &Metadata, body: &Body) -> bool {
    let Body::File { path, .. } = body else { return false };
    object.nlink() > 2
        && std::fs::metadata(path)
            .is_ok_and(|source| (source.dev(), source.ino()) == (object.dev(), object.ino()))
}
