//! Reading a file without reading its holes: they are zeros, and the kernel would fill its memory with them page by page.
//!
//! The layout is asked for as the reading goes. A file that changes meanwhile is noticed by whoever compares its state before and
//! after; here nothing is promised of it but an end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// So far a hole is taken at its word; then the file is looked at again: it may end earlier by now.
const HOLE_BYTES_MAX: u64 = 64 << 20;

/// Reads from the start.
#[derive(Debug)]
pub(super) struct Holes<'a> {
    file: &'a File,
    at: u64,
    /// Until where what is at `at` goes on.
    until: u64,
    data: bool,
}

impl<'a> Holes<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, at: 0, until: 0, data: false }
    }

    /// Looks what is at `at`; false at the end of the file.
    fn look(&mut self) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        if self.at >= size {
            return Ok(false);
        }
        (self.data, self.until) = match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(data) if data <= self.at => match seek(self.file, SeekFrom::Hole(self.at)) {
                Ok(hole) if hole > self.at => (true, hole),
                _ => (true, size),
            },
            Ok(data) => (false, data),
            // No more data.
            Err(Errno::NXIO) => (false, size),
            // A file system that does not know: all of it may be data.
            Err(_) => (true, size),
        };
        if !self.data {
            self.until = self.until.min(self.at + HOLE_BYTES_MAX);
        }
        Ok(true)
    }
}

impl Read for Holes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.until && !self.look()? {
            return Ok(0);
        }
        let left = usize::try_from(self.until - self.at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let piece = &mut buffer[..most];
        let read = if self.data {
            self.file.read_at(piece, self.at)?
        } else {
            piece.fill(0);
            piece.len()
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn reads_what_a_plain_read_does_wherever_holes_are() {
        let dir = tempfile::tempdir().unwrap();
        let layouts: [(&[u64], u64); 6] = [
            (&[], 0),
            (&[], 3 << 20),
            (&[0], 3 << 20),
            (&[1 << 20], 3 << 20),
            (&[0, 1 << 20, (3 << 20) - 5], 3 << 20),
            (&[(1 << 20) + 77], (2 << 20) + 1),
        ];
        for (number, (places, size)) in layouts.into_iter().enumerate() {
            let path = dir.path().join(number.to_string());
            let file = OpenOptions::new().write(true).read(true).create_new(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            for place in places {
                file.write_all_at(b"data!", *place).unwrap();
            }
            let mut bytes = Vec::new();
            Holes::new(&file).read_to_end(&mut bytes).unwrap();
            assert!(bytes == std::fs::read(&path).unwrap(), "layout {number}");
        }
    }

    #[test]
    fn a_file_that_becomes_shorter_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let file = OpenOptions::new().write(true).read(true).open(&path).unwrap();
        let mut holes = Holes::new(&file);
        holes.read_exact(&mut [0; 1_000]).unwrap();
        file.set_len(5_000).unwrap();
        let mut rest = Vec::new();
        holes.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, vec![7; 4_000]);
    }

    #[test]
    fn a_hole_that_becomes_shorter_ends() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 42).unwrap();
        let mut holes = Holes::new(&file);
        holes.read_exact(&mut [0; 1_000]).unwrap();
        file.set_len(5_000).unwrap();
        assert!(holes.take(1 << 30).read_to_end(&mut Vec::new()).unwrap() as u64 <= HOLE_BYTES_MAX);
    }
}
