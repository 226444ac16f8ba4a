//! zstd where it pays.
//!
//! Whether it pays is asked of a sample from the middle first, at the fastest level: photographs, videos and archives are
//! then stored raw at the cost of a few per cent of a compression. What is compressed is written where the object will have it, and
//! a check that needs no copy of the payload unpacks it window by window: with pieces of 16 MiB, copies are what memory goes to.
//!
//! zstd's contexts are kept, one pair a thread: making one costs as much as compressing a small file.

use std::cell::RefCell;
use std::io::Cursor;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, SafeResult, WriteBuf, compress_bound,
};

thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Shorter payloads are just tried.
const SAMPLE_FROM_BYTES: usize = 128 * 1024;
/// How much is sampled.
const SAMPLE_BYTES: usize = 32 * 1024;
/// How much of a frame is unpacked at a time where the whole is not kept.
const WINDOW_BYTES: usize = 128 * 1024;

/// Whether `payload` may be worth compressing.
pub(crate) fn promises(payload: &[u8]) -> bool {
    if payload.len() < SAMPLE_FROM_BYTES {
        return payload.len() >= 32;
    }
    let middle = payload.len() / 2;
    let sample = &payload[middle..middle + SAMPLE_BYTES];
    let mut small = Vec::with_capacity(compress_bound(sample.len()));
    at_level(&mut small, sample, -1).is_ok_and(|compressed| pays(compressed, sample.len()))
}

/// Appends the compressed payload to `object`, or nothing when raw is better: at least 1/32 must be gained.
pub(crate) fn append(object: &mut Vec<u8>, payload: &[u8], level: i32) -> bool {
    let before = object.len();
    object.reserve_exact(compress_bound(payload.len()));
    let mut tail = Cursor::new(std::mem::take(object));
    tail.set_position(before as u64);
    let compressed = at_level(&mut tail, payload, level);
    *object = tail.into_inner();
    if compressed.is_ok_and(|compressed| pays(compressed, payload.len())) {
        return true;
    }
    object.truncate(before);
    false
}

fn at_level(to: &mut impl WriteBuf, payload: &[u8], level: i32) -> SafeResult {
    COMPRESSOR.with_borrow_mut(|context| {
        context.set_parameter(CParameter::CompressionLevel(level))?;
        context.compress2(to, payload)
    })
}

const fn pays(compressed: usize, raw: usize) -> bool {
    compressed + raw / 32 < raw
}

/// The payload of a frame, which must be exactly `size` bytes: a frame that unpacks to more is refused, not unpacked.
pub(crate) fn decompress(frame: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut payload = Vec::with_capacity(size);
    let unpacked = DECOMPRESSOR.with_borrow_mut(|context| context.decompress(&mut payload, frame));
    unpacked.is_ok_and(|unpacked| unpacked == size).then_some(payload)
}

/// Unpacks a frame piece by piece and hands each piece over, until one is refused. Whether the frame was whole, alone, and
/// nothing was refused.
pub(crate) fn unpack(frame: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> bool {
    let mut window = Vec::with_capacity(WINDOW_BYTES.min(frame.len().saturating_mul(4)).max(1024));
    DECOMPRESSOR.with_borrow_mut(|context| {
        let mut input = InBuffer::around(frame);
        loop {
            window.clear();
            let mut output = OutBuffer::around(&mut window);
            let left = context.decompress_stream(&mut output, &mut input);
            let (full, ended) = (output.pos() == output.capacity(), left == Ok(0));
            let more = left.is_ok() && take(&window);
            if more && !ended && (full || input.pos() < frame.len()) {
                continue;
            }
            // What a frame that is cut short leaves behind is not the next one's.
            let reset = context.reset(ResetDirective::SessionOnly);
            return more && ended && input.pos() == frame.len() && reset.is_ok();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut object = b"before".to_vec();
        assert!(append(&mut object, payload, 1));
        object.split_off(6)
    }

    fn pieces(frame: &[u8]) -> (bool, Vec<u8>) {
        let mut joined = Vec::new();
        let whole = unpack(frame, |piece| {
            joined.extend_from_slice(piece);
            true
        });
        (whole, joined)
    }

    #[test]
    fn a_frame_unpacks_whole_and_in_pieces() {
        for size in [40, 4_000, WINDOW_BYTES, WINDOW_BYTES + 1, 3 * 1024 * 1024] {
            let payload = b"a line of text, ".repeat(size / 16 + 1);
            let frame = frame(&payload);
            assert_eq!(decompress(&frame, payload.len()).as_ref(), Some(&payload));
            assert_eq!(pieces(&frame), (true, payload));
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_followed_by_more_is_refused_and_harms_no_other() {
        let payload = b"a line of text, ".repeat(50_000);
        let frame = frame(&payload);
        assert!(!pieces(&frame[..frame.len() - 1]).0);
        assert!(!pieces(&[&frame[..], b"x"].concat()).0);
        assert!(!pieces(b"no frame").0);
        assert!(!unpack(&frame, |_| false));
        assert_eq!(decompress(&frame, payload.len() - 1), None);
        assert_eq!(decompress(&frame, payload.len() + 1), None);
        assert_eq!(pieces(&frame), (true, payload));
    }

    #[test]
    fn what_does_not_pay_leaves_the_object_as_it_was() {
        let mut object = b"before".to_vec();
        assert!(!append(&mut object, &(0..=255).collect::<Vec<u8>>(), 1));
        assert_eq!(object, b"before");
    }
}
