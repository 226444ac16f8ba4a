//! What a release gets: nothing.

use std::sync::Arc;

use n2s_domain::{Clock, SystemClock};

use crate::points::Point;

/// Nothing.
#[inline]
pub const fn failpoint(_: Point) {}

/// Nothing; `keys` is not even looked at.
#[inline]
pub fn put<'a>(_store: &str, _keys: impl Iterator<Item = &'a str>) {}

/// Nothing; `keys` is not even looked at.
#[inline]
pub fn stored<'a>(_store: &str, _keys: impl Iterator<Item = &'a str>) {}

/// The machine's clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
