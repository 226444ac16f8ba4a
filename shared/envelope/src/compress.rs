//! zstd where it pays.
//!
//! Whether it pays is asked of a sample from the middle first, at the fastest level: photographs, videos and archives are
//! then stored raw at the cost of a few per cent of a compression.

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
        if !pays(zstd::bulk::compress(sample, -1).ok()?.len(), sample.len()) {
            return None;
        }
    }
    let compressed = zstd::bulk::compress(payload, level).ok()?;
    pays(compressed.len(), payload.len()).then_some(compressed)
}

const fn pays(compressed: usize, raw: usize) -> bool {
    compressed + raw / 32 < raw
}

/// The payload of a frame, which must be exactly `size` bytes: a frame that unpacks to more is refused, not unpacked.
pub(crate) fn decompress(frame: &[u8], size: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(frame, size).ok().filter(|payload| payload.len() == size)
}
