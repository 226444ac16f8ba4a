//! What an error of the file system means for the store, and what to do about it.
//!
//! A root that is not there is a disk that is not mounted, and the store must not be taken for an empty one. Only the root's own
//! absence says so: a root that cannot be reached or read for another reason is denied or unavailable, and no configuration is
//! at fault.

use std::io;
use std::path::Path;

use n2s_domain::FailureKind;

/// The kind of `error`, met while doing `op` below `root`, and advice where there is some.
pub(super) fn diagnose(root: &Path, op: &str, error: &io::Error) -> (FailureKind, Option<String>) {
    match std::fs::metadata(root) {
        Ok(found) if found.is_dir() => below(root, op, error),
        found => of_root(root, op, found.map_or_else(|error| error.kind(), |_| io::ErrorKind::NotADirectory)),
    }
}

fn of_root(root: &Path, op: &str, kind: io::ErrorKind) -> (FailureKind, Option<String>) {
    use io::ErrorKind as E;
    let shown = root.display();
    match kind {
        E::NotFound | E::NotADirectory => {
            let advice = format!(
                "the directory {shown} is not there; mount its disk, or make it if this store is new"
            );
            (FailureKind::Misconfigured, Some(advice))
        }
        kind => below(root, op, &kind.into()),
    }
}

fn below(root: &Path, op: &str, error: &io::Error) -> (FailureKind, Option<String>) {
    use io::ErrorKind as E;
    let root = root.display();
    match error.kind() {
        // A put looks for nothing: somebody removed what it had just made, as a sweep does whose clock has jumped ahead.
        E::NotFound if op == "store" => (FailureKind::Unavailable, None),
        E::NotFound => (FailureKind::NotFound, None),
        E::PermissionDenied => {
            let done = if matches!(op, "retrieve" | "stat" | "list") { "read" } else { "write" };
            let advice = format!("n2s may not {done} below {root}; change its owner or mode");
            (FailureKind::Denied, Some(advice))
        }
        E::ReadOnlyFilesystem => {
            (FailureKind::Denied, Some(format!("the file system of {root} is mounted read-only")))
        }
        E::StorageFull | E::QuotaExceeded => {
            (FailureKind::Unavailable, Some(format!("the disk that holds {root} is full; free space on it")))
        }
        E::NotADirectory => (
            FailureKind::Misconfigured,
            Some(format!("below {root} lies something that is not a directory where one has to be")),
        ),
        E::InvalidData => (FailureKind::Corrupt, None),
        _ => (FailureKind::Unavailable, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absent_root_is_the_configurations_fault() {
        let root = Path::new("/store");
        let kinds = [
            (io::ErrorKind::NotFound, FailureKind::Misconfigured),
            (io::ErrorKind::NotADirectory, FailureKind::Misconfigured),
            (io::ErrorKind::PermissionDenied, FailureKind::Denied),
            // What EIO is called.
            (io::ErrorKind::Other, FailureKind::Unavailable),
            (io::ErrorKind::StaleNetworkFileHandle, FailureKind::Unavailable),
        ];
        for (met, expected) in kinds {
            assert_eq!(of_root(root, "store", met).0, expected, "{met:?}");
        }
    }

    #[test]
    fn who_may_not_read_is_not_told_that_he_may_not_write() {
        let dir = Path::new("/");
        for (op, word) in [("retrieve", "read"), ("stat", "read"), ("list", "read"), ("store", "write")] {
            let (kind, advice) = diagnose(dir, op, &io::ErrorKind::PermissionDenied.into());
            assert_eq!(kind, FailureKind::Denied);
            assert!(advice.unwrap().contains(&format!("may not {word} below")), "{op}");
        }
    }
}
