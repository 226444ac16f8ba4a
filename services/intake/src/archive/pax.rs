//! Headers of a tar archive as POSIX has them: a `ustar` block, and before it, where a value does not fit there, an extended
//! header with the value as it is.
//!
//! Rejected: the `tar` crate, which reads and writes files where a few records are to be put together; and GNU's own long names,
//! which know no nanoseconds.

use bytes::{BufMut as _, BytesMut};
use n2s_domain::{FileMeta, FileTime};

/// Everything in an archive is a multiple of this long.
pub(super) const BLOCK: usize = 512;
/// The most that 11 octal digits hold.
const OCTAL_11_MAX: u64 = 0o777_7777_7777;
/// The most that 7 octal digits hold.
const OCTAL_7_MAX: u32 = 0o777_7777;
/// Bytes of a name that fit a block.
const NAME_MAX: usize = 100;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Directory,
    Symlink(&'a [u8]),
    /// Another name of this path.
    Link(&'a [u8]),
    /// A file of so many bytes, which follow.
    File(u64),
}

impl<'a> Kind<'a> {
    fn flag(self) -> u8 {
        match self {
            Self::File(_) => b'0',
            Self::Link(_) => b'1',
            Self::Symlink(_) => b'2',
            Self::Directory => b'5',
        }
    }

    fn size(self) -> u64 {
        if let Self::File(size) = self { size } else { 0 }
    }

    fn target(self) -> &'a [u8] {
        match self {
            Self::Symlink(target) | Self::Link(target) => target,
            Self::Directory | Self::File(_) => &[],
        }
    }
}

/// The header of an entry, extended where it must be.
pub(super) fn header(name: &[u8], kind: Kind<'_>, meta: &FileMeta) -> BytesMut {
    let records = records(name, kind, meta);
    let mut out = BytesMut::new();
    if !records.is_empty() {
        let plain = FileMeta { mode: 0o644, uid: 0, gid: 0, mtime: FileTime { secs: 0, nanos: 0 } };
        out.extend_from_slice(&block(b"PaxHeaders", (b'x', records.len() as u64, &[]), &plain));
        out.extend_from_slice(&records);
        out.put_bytes(0, padding(records.len() as u64));
    }
    out.extend_from_slice(&block(name, (kind.flag(), kind.size(), kind.target()), meta));
    out
}

/// Zeros that fill the last block of so many bytes.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("it is less than a block");
    (BLOCK - over) % BLOCK
}

/// What does not fit a block, and what other programs would take for something else there.
fn records(name: &[u8], kind: Kind<'_>, meta: &FileMeta) -> Vec<u8> {
    let long = |text: &[u8]| text.len() > NAME_MAX || !text.is_ascii();
    let names: Vec<(&str, &[u8])> =
        [("path", name), ("linkpath", kind.target())].into_iter().filter(|(_, text)| long(text)).collect();
    let mut out = Vec::new();
    if names.iter().any(|(_, text)| std::str::from_utf8(text).is_err()) {
        record(&mut out, "hdrcharset", b"BINARY");
    }
    for (key, text) in names {
        record(&mut out, key, text);
    }
    let FileTime { secs, nanos } = meta.mtime;
    if nanos > 0 || u64::try_from(secs).map_or(true, |secs| secs > OCTAL_11_MAX) {
        record(&mut out, "mtime", time(meta.mtime).as_bytes());
    }
    for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
        if id > OCTAL_7_MAX {
            record(&mut out, key, id.to_string().as_bytes());
        }
    }
    if kind.size() > OCTAL_11_MAX {
        record(&mut out, "size", kind.size().to_string().as_bytes());
    }
    out
}

/// `length key=value\n`; the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Decimal seconds; nanoseconds count upward from seconds that are rounded down, also before 1970.
fn time(FileTime { secs, nanos }: FileTime) -> String {
    match (secs, nanos) {
        (_, 0) => secs.to_string(),
        (0.., _) => format!("{secs}.{nanos:09}"),
        _ => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    }
}

fn block(name: &[u8], (flag, size, target): (u8, u64, &[u8]), meta: &FileMeta) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, most: usize, bytes: &[u8]| {
        let length = bytes.len().min(most);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    let octal_7 = |value: u32| format!("{:07o}\0", value.min(OCTAL_7_MAX));
    let octal_11 = |value: u64| format!("{:011o}\0", if value > OCTAL_11_MAX { 0 } else { value });
    put(0, NAME_MAX, name);
    put(100, 8, octal_7(meta.mode).as_bytes());
    put(108, 8, octal_7(meta.uid).as_bytes());
    put(116, 8, octal_7(meta.gid).as_bytes());
    put(124, 12, octal_11(size).as_bytes());
    put(136, 12, octal_11(u64::try_from(meta.mtime.secs).unwrap_or(0)).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, NAME_MAX, target);
    put(257, 8, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &[u8], kind: Kind<'_>, meta: &FileMeta) -> String {
        String::from_utf8_lossy(&records(name, kind, meta)).into_owned()
    }

    #[test]
    fn what_fits_a_block_has_no_extended_header() {
        let mut meta =
            FileMeta { mode: 0o4755, uid: 7, gid: OCTAL_7_MAX, mtime: FileTime { secs: 5, nanos: 0 } };
        assert_eq!(header(&[b'n'; 100], Kind::File(9), &meta).len(), BLOCK);
        assert_eq!(told(&[b'n'; 101], Kind::Directory, &meta), format!("111 path={}\n", "n".repeat(101)));
        meta.uid = u32::MAX;
        assert_eq!(told(b"a", Kind::File(1 << 33), &meta), "18 uid=4294967295\n19 size=8589934592\n");
        assert_eq!(
            told(b"\xff", Kind::Symlink(b"\xc3\xa9"), &meta).lines().next(),
            Some("21 hdrcharset=BINARY")
        );
        assert_eq!(told("é".as_bytes(), Kind::Directory, &FileMeta { uid: 0, ..meta }), "11 path=é\n");
    }

    #[test]
    fn lengths_count_their_own_digits() {
        for length in 80..1_100 {
            let mut out = Vec::new();
            record(&mut out, "path", &vec![b'x'; length]);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn times_are_decimal_on_both_sides_of_1970() {
        let told = |secs, nanos| time(FileTime { secs, nanos });
        assert_eq!((told(1, 5), told(-1, 0)), ("1.000000005".to_owned(), "-1".to_owned()));
        // A second and a half, and half a second, before.
        assert_eq!(
            (told(-2, 500_000_000), told(-1, 500_000_000)),
            ("-1.500000000".into(), "-0.500000000".into())
        );
    }
}
