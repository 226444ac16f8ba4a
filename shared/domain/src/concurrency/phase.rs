//! Where the search for the limit stands.

use super::point::Point;

/// What the limit is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Doubling, as long as it pays.
    Rising { before: Option<Point> },
    /// Staying, for so many readings, before something is tried.
    Holding { rate: f64, left: u32, patience: u32, way: Way },
    /// For one reading at another limit than `home`.
    Trying { home: Point, patience: u32, way: Way },
}

/// Which way the next trial goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Way {
    pub const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}
