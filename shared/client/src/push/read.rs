//! Reading a file so that what is stored is one state of it: looked at before and after, and read again when it moved.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use n2s_domain::limits::BLOB_BYTES_MAX;
use n2s_domain::{Clock, RelPath, Timestamp};

use crate::tree::{Identity, Kind, Root, Stat};

/// How often a file that changes while it is read is tried.
const TRIES: u32 = 3;
/// A ctime this close to the moment of reading may be shared by a later write: file systems stamp with a coarse clock. And they
/// stamp a write when it begins: its bytes may still be on their way.
const RACY_MICROS: i64 = 50_000;
const MOMENT: Duration = Duration::from_micros(RACY_MICROS.unsigned_abs());
/// Moments that the holder of a lease gets, five seconds in all.
const LEASE_TRIES: u32 = 100;

/// What came of reading a file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it, in one piece. `moved` when it would not stand still: these bytes may be of no single moment.
    Small { bytes: Vec<u8>, stat: Stat, moved: bool },
    /// It is longer than a blob: read it in pieces.
    Large(Opened),
    /// It is gone.
    Vanished,
    /// It is no longer a file.
    Replaced,
}

/// A file about to be read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
    /// It was changed a moment ago, however often it was looked at: two equal stats prove nothing.
    pub(super) fresh: bool,
}

/// Reads the file at `path`. Waits a moment for one that has just been changed, or the end of a write could go unnoticed.
pub(super) fn read(root: &Root, path: &RelPath, clock: &dyn Clock) -> io::Result<Outcome> {
    let mut tries = 1;
    loop {
        let mut file = match open(root, path) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Vanished),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Ok(Outcome::Replaced);
            }
            Err(error) => return Err(error),
        };
        let before = stat(&file)?;
        if before.kind != Kind::File {
            return Ok(Outcome::Replaced);
        }
        let fresh = is_fresh(&before, clock.now());
        if fresh && tries < TRIES {
            std::thread::sleep(MOMENT);
            tries += 1;
            continue;
        }
        if before.size > BLOB_BYTES_MAX as u64 {
            return Ok(Outcome::Large(Opened { file, stat: before, fresh }));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
        (&mut file).take(BLOB_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        let after = stat(&file)?;
        let still = !fresh && before == after && bytes.len() as u64 == after.size;
        if bytes.len() <= BLOB_BYTES_MAX && (still || tries == TRIES) {
            return Ok(Outcome::Small { bytes, stat: after, moved: !still });
        }
        tries += 1;
    }
}

/// Opens a file. A lease on it, as file servers take, is asked back by the first try; its holder has a moment to give it up.
fn open(root: &Root, path: &RelPath) -> io::Result<OwnedFd> {
    for _ in 0..LEASE_TRIES {
        match root.open_file(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(MOMENT),
            opened => return opened,
        }
    }
    root.open_file(path)
}

/// An open file's state.
pub(super) fn stat(file: &File) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(file)?.into())
}

/// What the cache may trust of a file read at `now`: nothing when it moved meanwhile, whatever it looked like at the end, or
/// changed so recently that it could change again unseen.
pub(super) fn trust(stat: &Stat, moved: bool, now: Timestamp) -> Option<Identity> {
    let old = ctime_micros(stat).saturating_add(RACY_MICROS) < now.as_micros();
    (old && !moved).then_some(stat.identity)
}

/// Whether it changed a moment before `now`. A ctime further ahead is another machine's clock: waiting would not help.
fn is_fresh(stat: &Stat, now: Timestamp) -> bool {
    ctime_micros(stat).saturating_sub(now.as_micros()).saturating_abs() < RACY_MICROS
}

fn ctime_micros(stat: &Stat) -> i64 {
    let ctime = stat.identity.ctime;
    ctime.secs.saturating_mul(1_000_000).saturating_add(i64::from(ctime.nanos / 1_000))
}

#[cfg(test)]
mod tests {
    use n2s_domain::{SystemClock, TestClock};

    use super::*;

    #[test]
    fn tells_small_large_vanished_and_replaced_apart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("small"), b"abc").unwrap();
        File::create(dir.path().join("large")).unwrap().set_len(BLOB_BYTES_MAX as u64 + 1).unwrap();
        std::os::unix::fs::symlink("small", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let outcome = |name: &str| read(&root, &RelPath::new(name).unwrap(), &SystemClock).unwrap();
        assert!(matches!(outcome("small"), Outcome::Small { bytes, moved: false, .. } if bytes == b"abc"));
        assert!(matches!(outcome("large"), Outcome::Large(Opened { fresh: false, .. })));
        assert!(matches!(outcome("gone"), Outcome::Vanished));
        assert!(matches!(outcome("link"), Outcome::Replaced));
        assert!(matches!(outcome("dir"), Outcome::Replaced));
    }

    #[test]
    fn a_file_that_is_always_just_changed_is_never_taken_for_one_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"abc").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let written = stat(&File::open(dir.path().join("f")).unwrap()).unwrap();
        for (ahead, still) in [(0, false), (49_000, false), (-49_000, false), (51_000, true), (-51_000, true)]
        {
            // A clock that stands: no waiting makes the change any older.
            let clock = TestClock::new(Timestamp::from_micros(ctime_micros(&written) + ahead));
            let read = read(&root, &RelPath::new("f").unwrap(), &clock).unwrap();
            assert!(matches!(read, Outcome::Small { moved, .. } if moved != still), "{ahead}");
        }
    }

    #[test]
    fn trusts_no_file_that_changed_a_moment_ago() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"abc").unwrap();
        let stat = stat(&File::open(&path).unwrap()).unwrap();
        let changed = stat.identity.ctime.secs * 1_000_000;
        let (then, later) = (Timestamp::from_micros(changed), Timestamp::from_micros(changed + 2_000_000));
        assert_eq!(trust(&stat, false, then), None);
        assert_eq!(trust(&stat, false, later), Some(stat.identity));
        assert_eq!(trust(&stat, true, later), None, "what moved while it was read would never be read again");
    }
}
