//! One push of a dataset at a time in a home, and proof that an interrupted one is dead.
//!
//! Who holds the lock knows that no other process of this home pushes the dataset: an open push of the same client is then
//! its own former self's, and can be resumed at once, without waiting for the lease to lapse.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use n2s_domain::StoreKey;
use rustix::fs::{FlockOperation, flock};

use crate::error::AssemblyError;
use crate::home::Home;

/// Held while a push runs; the kernel lets go of it when the process ends in any way.
#[derive(Debug)]
pub struct PushLock(#[expect(dead_code, reason = "holding the file holds the lock")] File);

impl PushLock {
    /// Takes the lock; `None` when another process has it.
    pub fn take(home: &Home, dataset: StoreKey) -> Result<Option<Self>, AssemblyError> {
        lock(home.pushes().join(&dataset.to_hex()[..32])).map(|file| file.map(Self))
    }
}

/// Waits for the lock that is held while a home is made.
pub(crate) fn lock_making(home: &Home) -> Result<File, AssemblyError> {
    let path = home.root().join("making.lock");
    let locked = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).and_then(|file| {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    });
    locked.map_err(|source| failed(path, source))
}

pub(crate) fn lock(path: std::path::PathBuf) -> Result<Option<File>, AssemblyError> {
    let open = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = open.map_err(|source| failed(path.clone(), source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(path, error.into())),
    }
}

fn failed(path: std::path::PathBuf, source: std::io::Error) -> AssemblyError {
    if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
        return AssemblyError::ReadOnly(path);
    }
    AssemblyError::Io { doing: "locking", path, source }
}
