//! Writing around runs of zeros, so that a sparse file comes back sparse.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// A run of zeros this long becomes a hole.
const HOLE_BYTES: usize = 64 * 1024;
static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// Writes what of `payload` is not zero, at each offset of a new file: what is left out reads as zeros. Says whether it ends in
/// a hole, so that the file may be shorter than it is to be.
pub(super) fn write(file: &File, payload: &[u8], offsets: &[u64]) -> io::Result<bool> {
    let stretches = stretches(payload);
    for offset in offsets {
        for stretch in &stretches {
            file.write_all_at(&payload[stretch.clone()], offset + stretch.start as u64)?;
        }
    }
    Ok(stretches.last().map_or(0, |last| last.end) < payload.len())
}

fn stretches(payload: &[u8]) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for piece in payload.chunks(HOLE_BYTES) {
        let here = at..at + piece.len();
        at = here.end;
        if piece == ZEROS {
            continue;
        }
        match stretches.last_mut() {
            Some(last) if last.end == here.start => last.end = here.end,
            _ => stretches.push(here),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_all_but_long_runs_of_zeros() {
        let mut payload = vec![1; 3 * HOLE_BYTES];
        payload.extend(vec![0; 2 * HOLE_BYTES]);
        payload.extend(vec![2; HOLE_BYTES]);
        payload.extend([0; 5]);
        assert_eq!(stretches(&payload), [0..3 * HOLE_BYTES, 5 * HOLE_BYTES..payload.len()]);
        assert!(stretches(&vec![0; 4 * HOLE_BYTES]).is_empty());
        assert!(stretches(&[]).is_empty());
    }

    #[test]
    fn says_whether_the_file_may_be_too_short() {
        let file = tempfile::tempfile().unwrap();
        assert!(!write(&file, b"", &[0]).unwrap());
        assert!(!write(&file, b"abc", &[0, 10]).unwrap());
        assert_eq!(file.metadata().unwrap().len(), 13);
        let mut payload = vec![7; HOLE_BYTES];
        payload.extend(ZEROS);
        assert!(write(&file, &payload, &[0]).unwrap());
        assert_eq!(file.metadata().unwrap().len(), HOLE_BYTES as u64);
    }
}
