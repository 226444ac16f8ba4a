//! Cutting large files where their content says so, so that a change in one place leaves the other pieces as they were.
//!
//! `FastCDC` of 2020 with the gear table seeded from the vault. The crate's own stream cutter reads no further while a chunk is in
//! use. This one cuts inside one buffer that it keeps, and copies each chunk out of it. Rejected: chunks that share the buffer,
//! which save the copy, but hold on to four times their bytes and make a fresh buffer, page by page, for nearly every chunk.

use std::io::{self, Read};

use bytes::Bytes;
use fastcdc::v2020::{FastCDC, Normalization};
use n2s_domain::limits::{BLOB_BYTES_MAX, CHUNK_BYTES_AVG, CHUNK_BYTES_MIN};

/// Room for the longest chunk and as much again, so that what is left is moved to the front only now and then.
const BUFFER_BYTES: usize = 2 * BLOB_BYTES_MAX;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its bytes: between 1 and 16 MiB, except for the last.
    pub bytes: Bytes,
}

/// Cuts what a reader gives. Ends after the reader's end or its first error.
#[derive(Debug)]
pub struct Chunker<R> {
    reader: R,
    seed: u64,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet cut.
    start: usize,
    end: usize,
    offset: u64,
    ended: bool,
}

impl<R: Read> Chunker<R> {
    /// `seed` is the vault's: see [`crate::Vault::chunk_seed`].
    pub fn new(reader: R, seed: u64) -> Self {
        Self { reader, seed, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, offset: 0, ended: false }
    }

    /// Reads until a maximal chunk is in the buffer, or the end.
    fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() - self.start < BLOB_BYTES_MAX {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while !self.ended && self.end - self.start < BLOB_BYTES_MAX {
            let room = self.buffer.len().min(self.end + CHUNK_BYTES_AVG);
            match self.reader.read(&mut self.buffer[self.end..room]) {
                Ok(read) => {
                    self.end += read;
                    self.ended = read == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Chunker<R> {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<io::Result<Chunk>> {
        if let Err(error) = self.fill() {
            self.ended = true;
            self.end = self.start;
            return Some(Err(error));
        }
        if self.start == self.end {
            return None;
        }
        let window = &self.buffer[self.start..self.end.min(self.start + BLOB_BYTES_MAX)];
        let cutter = FastCDC::with_level_and_seed(
            window,
            CHUNK_BYTES_MIN,
            CHUNK_BYTES_AVG,
            BLOB_BYTES_MAX,
            Normalization::Level1,
            self.seed,
        );
        let (_, cut) = cutter.cut(0, window.len());
        let chunk = Chunk { offset: self.offset, bytes: Bytes::copy_from_slice(&window[..cut]) };
        self.start += cut;
        self.offset += cut as u64;
        Some(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::{Entropy as _, SeededEntropy};
    use proptest::prelude::*;

    use super::*;

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        SeededEntropy::new(1).fill(&mut bytes);
        bytes
    }

    fn cut(bytes: &[u8], seed: u64) -> Vec<Chunk> {
        Chunker::new(bytes, seed).map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_join_to_the_file_within_their_bounds() {
        let bytes = random(50 * 1024 * 1024 + 7);
        let chunks = cut(&bytes, 9);
        assert!(chunks.len() > 5);
        let mut at = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk.offset, at);
            let last = index + 1 == chunks.len();
            assert!(chunk.bytes.len() <= BLOB_BYTES_MAX && (last || chunk.bytes.len() >= CHUNK_BYTES_MIN));
            at += chunk.bytes.len() as u64;
        }
        assert_eq!(chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect::<Vec<_>>(), bytes);
    }

    #[test]
    fn an_insertion_leaves_most_chunks_as_they_were_and_the_seed_moves_the_cuts() {
        let bytes = random(50 * 1024 * 1024);
        let mut longer = bytes.clone();
        longer.insert(100, 1);
        let set = |chunks: Vec<Chunk>| {
            chunks.into_iter().map(|chunk| chunk.bytes).collect::<std::collections::BTreeSet<_>>()
        };
        let (before, after, seeded) = (set(cut(&bytes, 9)), set(cut(&longer, 9)), set(cut(&bytes, 10)));
        assert!(before.intersection(&after).count() + 3 >= before.len());
        assert!(before.intersection(&seeded).count() < before.len() / 2);
    }

    #[test]
    fn zeros_are_cut_at_the_maximum() {
        let sizes: Vec<usize> =
            cut(&vec![0; 40 * 1024 * 1024], 3).iter().map(|chunk| chunk.bytes.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 40 * 1024 * 1024);
        assert!(sizes.iter().all(|size| *size <= BLOB_BYTES_MAX));
    }

    /// Gives pieces of the sizes in turn, and is interrupted in between.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
        interrupted: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let size = (*self.sizes.next().unwrap()).min(buffer.len()).min(self.bytes.len());
            let (piece, rest) = self.bytes.split_at(size);
            buffer[..size].copy_from_slice(piece);
            self.bytes = rest;
            Ok(size)
        }
    }

    #[test]
    fn insertions_anywhere_change_few_chunks_and_the_average_is_kept() {
        const MIB: usize = 1024 * 1024;
        let bytes = random(64 * MIB);
        let before = cut(&bytes, 9);
        let average = bytes.len() / before.len();
        assert!((CHUNK_BYTES_AVG / 2..CHUNK_BYTES_AVG * 2).contains(&average), "{average}");
        let known: std::collections::BTreeSet<_> = before.iter().map(|chunk| chunk.bytes.clone()).collect();
        for place in [0, 5 * MIB + 3, 31 * MIB, bytes.len()] {
            let longer = [&bytes[..place], &b"inserted"[..], &bytes[place..]].concat();
            let after = cut(&longer, 9);
            let new = after.iter().filter(|chunk| !known.contains(&chunk.bytes)).count();
            assert!((1..=4).contains(&new), "{new} of {} chunks are new after {place}", after.len());
            let untouched =
                before.iter().take_while(|chunk| chunk.offset + chunk.bytes.len() as u64 <= place as u64);
            assert!(untouched.zip(&after).filter(|(old, new)| old != new).count() <= 1, "before {place}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn cuts_join_within_their_bounds_and_follow_the_seed(
            length in 0usize..20 << 20, content: u64, seed: u64, other: u64,
            sizes in proptest::collection::vec(1usize..3 << 20, 1..5)
        ) {
            let mut bytes = vec![0; length];
            SeededEntropy::new(content).fill(&mut bytes);
            let chunks = cut(&bytes, seed);
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= BLOB_BYTES_MAX);
                prop_assert!(index + 1 == chunks.len() || chunk.bytes.len() >= CHUNK_BYTES_MIN);
                prop_assert_eq!(chunk.offset, chunks[..index].iter().map(|chunk| chunk.bytes.len() as u64).sum::<u64>());
            }
            prop_assert!(chunks.iter().map(|chunk| &chunk.bytes[..]).collect::<Vec<_>>().concat() == bytes);
            prop_assert!(cut(&bytes, seed) == chunks, "the same seed cuts alike");
            let pieces = Pieces { bytes: &bytes, sizes: sizes.iter().cycle(), interrupted: false };
            let read: Vec<_> = Chunker::new(pieces, seed).map(Result::unwrap).collect();
            prop_assert!(read == chunks, "sizes of reads move cuts");
            if chunks.len() > 2 && seed != other {
                prop_assert!(cut(&bytes, other) != chunks, "another seed cuts elsewhere");
            }
        }
    }
}
