//! zstd where it pays.
//!
//! Whether it pays is asked of a sample from the middle first, at the fastest level: photographs, videos and archives are
//! then stored raw at the cost of a few per cent of a compression.
//!
//! zstd's contexts are kept, one pair a thread: making one costs as much as compressing a small file.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Shorter payloads are just tried.
const SAMPLE_FROM_BYTES: usize = 128 * 1024;
/// How much is sampled.
const SAMPLE_BYTES: usize = 32 * 1024;

/// The compressed payload, or `None` when raw is better: at least 1/32 must be gained.
pub(crate) fn compress(payload: &[u8], level: i32) -> Option<Vec<u8>> {
    if payload.len() < 32 {
        return None;
    }
    if payload.len() >= SAMPLE_FROM_BYTES {
        let middle = payload.len() / 2;
        let sample = &payload[middle..middle + SAMPLE_BYTES];
        if !pays(at_level(sample, -1)?.len(), sample.len()) {
            return None;
        }
    }
    let compressed = at_level(payload, level)?;
    pays(compressed.len(), payload.len()).then_some(compressed)
}

fn at_level(payload: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(level).ok()?),
        };
        compressor.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        compressor.compress(payload).ok()
    })
}

const fn pays(compressed: usize, raw: usize) -> bool {
    compressed + raw / 32 < raw
}

/// The payload of a frame, which must be exactly `size` bytes: a frame that unpacks to more is refused, not unpacked.
pub(crate) fn decompress(frame: &[u8], size: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(frame, size).ok().filter(|payload| payload.len() == size)
    })
}
