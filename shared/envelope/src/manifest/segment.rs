//! Segments: JSON lines, at most a blob long.

use n2s_domain::limits::BLOB_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a segment is closed: well below a blob, so that the longest line still fits.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// A segment that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// A line is not of the format.
    #[error("line {line} of a manifest segment is not of the format")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It does not end with a newline.
    #[error("a manifest segment is cut short")]
    Truncated,
    /// One line alone is longer than a blob may be.
    #[error(
        "one line of the manifest is {0} bytes long, more than a blob holds; the file has too many pieces"
    )]
    LineTooLong(usize),
}

/// Gathers lines into segments.
#[derive(Debug, Default)]
pub struct SegmentWriter {
    open: Vec<u8>,
    lines: u64,
}

impl SegmentWriter {
    /// Adds a line; returns a segment when one is full.
    pub fn push(&mut self, line: &impl Serialize) -> Result<Option<Vec<u8>>, SegmentError> {
        let mut bytes = serde_json::to_vec(line).map_err(|source| SegmentError::Line { line: 0, source })?;
        bytes.push(b'\n');
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(SegmentError::LineTooLong(bytes.len()));
        }
        self.lines += 1;
        let full = !self.open.is_empty() && self.open.len() + bytes.len() > SEGMENT_BYTES;
        let closed = full.then(|| std::mem::take(&mut self.open));
        self.open.extend_from_slice(&bytes);
        Ok(closed)
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last segment, unless it is empty.
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.open.is_empty()).then_some(self.open)
    }
}

/// The lines of a segment.
pub fn read_lines<T: DeserializeOwned>(segment: &[u8]) -> impl Iterator<Item = Result<T, SegmentError>> {
    let whole = segment.is_empty() || segment.ends_with(b"\n");
    let lines = segment.split(|&b| b == b'\n').filter(|line| !line.is_empty()).enumerate();
    let parsed = lines.map(|(index, line)| {
        serde_json::from_slice(line).map_err(|source| SegmentError::Line { line: index + 1, source })
    });
    parsed.chain((!whole).then_some(Err(SegmentError::Truncated)))
}
