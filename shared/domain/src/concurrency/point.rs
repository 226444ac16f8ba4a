//! What limits brought, and whether a higher one was worth it.

/// What a limit brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub limit: u32,
    pub rate: f64,
}

/// A limit that is higher by some share must bring at least this part of that share.
const PAYS: f64 = 0.2;
/// Of that share, what is nearly all.
const FULLY: f64 = 0.8;
/// What is less than this is noise.
pub(super) const NOISE: f64 = 0.02;

/// Whether the higher limit brought enough for what it takes.
pub(super) fn pays(low: Point, high: Point) -> bool {
    let more = f64::from(high.limit) / f64::from(low.limit) - 1.0;
    high.rate > low.rate * (1.0 + (more * PAYS).max(NOISE))
}

/// Whether the higher limit brought nearly all that it could.
pub(super) fn pays_fully(low: Point, high: Point) -> bool {
    high.rate / low.rate - 1.0 > FULLY * (f64::from(high.limit) / f64::from(low.limit) - 1.0)
}
