//! Whether `syncfs` can be trusted: it saves hundreds of waits for the disk, and must not save the waiting itself.
//!
//! Before Linux 5.8 it succeeds even when the write-back failed. And some file systems do nothing on it that reaches a disk: FUSE
//! (sshfs, mergerfs, ntfs-3g …) does not pass it to the process that is the file system, CIFS and 9p flush no server. So only those
//! known to do it are trusted; elsewhere each file and each directory is synced by itself, which they all understand.

use std::fs::File;
use std::io;

/// Asks the kernel.
pub(super) fn of(volume: &File) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(volume)?.f_type;
    let release = rustix::system::uname();
    Ok(trusted(release.release().to_str().unwrap_or(""), kind))
}

/// The type of `kind` differs between processors.
fn trusted(release: &str, kind: impl TryInto<i64>) -> bool {
    const EXT: i64 = 0xEF53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683E;
    const BCACHEFS: i64 = 0xCA45_1A4E;
    const F2FS: i64 = 0xF2F5_2010;
    const ZFS: i64 = 0x2FC1_2FC1;
    const TMPFS: i64 = 0x0102_1994;
    const OVERLAY: i64 = 0x794C_7630;
    const NFS: i64 = 0x6969;
    let known = [EXT, XFS, BTRFS, BCACHEFS, F2FS, ZFS, TMPFS, OVERLAY, NFS];
    // Some of the numbers have their highest bit set, and a long of 32 bits makes that a sign.
    let known = kind.try_into().is_ok_and(|kind| known.contains(&(kind & 0xFFFF_FFFF)));
    known && version(release).is_some_and(|version| version >= (5, 8))
}

/// The first two numbers of `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_file_systems_on_kernels_that_tell_are_trusted() {
        const EXT4: i64 = 0xEF53;
        const FUSE: i64 = 0x6573_5546;
        const CIFS: i64 = 0xFF53_4D42;
        assert!(trusted("6.1.0-13-amd64", EXT4));
        assert!(trusted("5.8.0", EXT4));
        assert!(trusted("6.12.1", 0x9123_683E_i64 - (1 << 32)), "btrfs where a long has 32 bits");
        for (release, kind) in [
            ("5.7.19", EXT4),
            ("4.18.0-553.el8_10.x86_64", EXT4),
            ("", EXT4),
            ("unknown", EXT4),
            ("6.1.0", FUSE),
            ("6.1.0", CIFS),
            ("6.1.0", 0),
        ] {
            assert!(!trusted(release, kind), "{release} {kind:x}");
        }
    }
}
