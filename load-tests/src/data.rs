//! The data: the same bytes on every machine and in every run, so that figures can be compared.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::programs::Step;

/// Files in one directory.
const FAN_OUT: u32 = 200;
/// The logarithm's standard deviation that gives a mean of 26 KiB around a median of 8 KiB.
const SIGMA: f64 = 1.535;
const SIZE_MAX: f64 = 16.0 * 1024.0 * 1024.0;

/// A set.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    /// So many files, log-normal around 8 KiB.
    Files(u32),
    /// One file of so many bytes.
    Large(u64),
    /// So many files of 100 to 2,000 bytes.
    Tiny(u32),
}

impl Data {
    /// The name of the large file, and of its set.
    pub const LARGE: &str = "large";

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Large(_) => Self::LARGE,
            Self::Tiny(_) => "tiny",
        }
    }

    /// Whether nothing of it was asked for.
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::Files(0) | Self::Large(0) | Self::Tiny(0))
    }

    /// Whether other programs are measured on it, too.
    pub const fn has_peers(self) -> bool {
        !matches!(self, Self::Tiny(_))
    }

    /// How often each program goes through it, where `runs` are asked for: what takes minutes varies little.
    pub const fn runs(self, runs: usize) -> usize {
        if matches!(self, Self::Files(_)) { runs } else { 1 }
    }

    /// Whether 1 % of it can be changed.
    pub const fn can_change(self) -> bool {
        matches!(self, Self::Files(_))
    }

    /// The push whose tree a pull brings back.
    pub const fn last_push(self) -> Step {
        if self.can_change() { Step::Changed } else { Step::Unchanged }
    }

    /// Makes it at `root`, which must be absent; files and bytes.
    pub fn make(self, root: &Path) -> Result<(u64, u64)> {
        fs::create_dir(root)?;
        match self {
            Self::Large(size) => {
                let mut file = BufWriter::with_capacity(1 << 20, File::create(root.join(Self::LARGE))?);
                let mut random = Random::new(0, 0);
                let mut left = size;
                while left > 0 {
                    let text = (left >> 26) % 2 == 0;
                    let piece = random.contents(usize::try_from(left.min(1 << 20))?, text);
                    file.write_all(&piece)?;
                    left -= piece.len() as u64;
                }
                file.flush()?;
                Ok((1, size))
            }
            Self::Files(count) | Self::Tiny(count) => {
                let mut bytes = 0;
                for number in 0..count {
                    let path = place(root, number);
                    if number % FAN_OUT == 0 {
                        fs::create_dir_all(path.parent().unwrap_or(root))?;
                    }
                    let contents = self.contents(number, 0);
                    bytes += contents.len() as u64;
                    fs::write(path, contents)?;
                }
                Ok((u64::from(count), bytes))
            }
        }
    }

    /// Gives every hundredth file other contents of the same size.
    pub fn change(self, root: &Path) -> Result<()> {
        self.rewrite(root, 1)
    }

    /// Gives back what `change` took, so that the next program has the same start.
    pub fn restore(self, root: &Path) -> Result<()> {
        self.rewrite(root, 0)
    }

    fn rewrite(self, root: &Path, edition: u64) -> Result<()> {
        if let Self::Files(count) = self {
            for number in (0..count).step_by(100) {
                fs::write(place(root, number), self.contents(number, edition))?;
            }
        }
        Ok(())
    }

    fn contents(self, number: u32, edition: u64) -> Vec<u8> {
        // Every tenth file is its predecessor's double. The changed ones are not among them.
        let number = if number % 10 == 9 { number - 1 } else { number };
        let mut random = Random::new(u64::from(number) + 1, 0);
        let size = match self {
            Self::Tiny(_) => 100 + usize::try_from(random.next() % 1_901).unwrap_or(0),
            _ => random.log_normal(8.0 * 1024.0),
        };
        let text = random.next() % 10 < 6;
        if edition > 0 {
            random = Random::new(u64::from(number) + 1, edition);
        }
        random.contents(size, text)
    }
}

fn place(root: &Path, number: u32) -> PathBuf {
    root.join(format!("{:04}/{:03}.dat", number / FAN_OUT, number % FAN_OUT))
}

const WORDS: [&str; 32] = [
    "the ", "archive ", "of ", "a ", "store ", "and ", "every ", "file ", "is ", "there ", "not ", "when ",
    "which ", "time ", "with ", "from ", "they ", "have ", "this ", "that ", "will ", "between ", "sealed ",
    "bytes, ", "name ", "again ", "until ", "because ", "one ", "two ", "many\n", "end.\n",
];

/// Numbers and bytes from a seed: BLAKE3's output, which is the same everywhere and faster than the disk.
struct Random(blake3::OutputReader);

impl Random {
    fn new(stream: u64, edition: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"n2s load test").update(&stream.to_le_bytes()).update(&edition.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Evenly between 0 and 1, neither included.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept, and fit")]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 1 and SIZE_MAX"
    )]
    fn log_normal(&mut self, median: f64) -> usize {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        (median * (SIGMA * normal).exp()).clamp(1.0, SIZE_MAX) as usize
    }

    fn contents(&mut self, size: usize, text: bool) -> Vec<u8> {
        let mut bytes = vec![0; size];
        if !text {
            self.0.read_exact(&mut bytes).expect("the output of BLAKE3 does not end");
            return bytes;
        }
        let mut choices = vec![0; size / 2 + 1];
        self.0.fill(&mut choices);
        let words = choices.iter().flat_map(|choice| WORDS[usize::from(choice % 32)].bytes());
        bytes.iter_mut().zip(words).for_each(|(byte, letter)| *byte = letter);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more")]
    fn sizes_doubles_and_text_are_as_described() {
        let data = Data::Files(20_000);
        let all: Vec<Vec<u8>> = (0..4_000).map(|number| data.contents(number, 0)).collect();
        let mean = all.iter().map(Vec::len).sum::<usize>() as f64 / 4_000.0;
        assert!((20_000.0..33_000.0).contains(&mean), "the mean is {mean}");
        let mut sizes: Vec<usize> = all.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert!((7_000..9_500).contains(&sizes[2_000]), "the median is {}", sizes[2_000]);
        assert_eq!(all[19], all[18]);
        assert_ne!(all[18], all[17]);
        let text =
            all.iter().filter(|bytes| bytes.is_ascii() && !bytes.contains(&0) && bytes.len() > 50).count();
        assert!((2_200..2_600).contains(&text), "{text} of 4,000 are text");
    }

    #[test]
    fn a_change_keeps_sizes_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let data = Data::Files(300);
        assert_eq!(data.make(&root).unwrap().0, 300);
        let (file, other) = (place(&root, 100), place(&root, 101));
        let (before, neighbour) = (fs::read(&file).unwrap(), fs::read(&other).unwrap());
        data.change(&root).unwrap();
        let after = fs::read(&file).unwrap();
        assert!(after != before && after.len() == before.len());
        assert_eq!(fs::read(&other).unwrap(), neighbour);
        data.restore(&root).unwrap();
        assert_eq!(fs::read(&file).unwrap(), before);
    }
}
