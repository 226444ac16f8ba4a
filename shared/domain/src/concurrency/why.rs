//! Why a limit is what it is, for people.

use std::fmt;
use std::time::Duration;

/// How a store pushed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It asked for less, and perhaps said for how long.
    Throttled {
        /// What it asked for.
        retry_after: Option<Duration>,
    },
    /// It did not answer usefully.
    Failed,
}

impl Push {
    /// Both: the one that asks for more patience.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Throttled { retry_after: a }, Self::Throttled { retry_after: b }) => {
                Self::Throttled { retry_after: a.max(b) }
            }
            (throttled @ Self::Throttled { .. }, Self::Failed) | (Self::Failed, throttled) => throttled,
        }
    }

    pub(super) fn retry_after(self) -> Duration {
        match self {
            Self::Throttled { retry_after } => retry_after.unwrap_or_default(),
            Self::Failed => Duration::ZERO,
        }
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Failed => "failed",
        }
    }
}

/// What was decided last. Shares are in per cent; its words are for people and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing has been measured.
    Starting,
    /// The bounds are equal.
    Fixed,
    /// There was less work than the limit allows.
    NotNeeded,
    /// More at once brought more.
    Rose {
        /// By how much the limit changed.
        by: i64,
        /// By how much the rate did.
        brought: i64,
    },
    /// Less at once cost nothing.
    Fell {
        /// See [`Why::Rose`].
        by: i64,
        /// See [`Why::Rose`].
        brought: i64,
    },
    /// What was tried was no better.
    Held {
        /// See [`Why::Rose`].
        by: i64,
        /// See [`Why::Rose`].
        brought: i64,
    },
    /// The upper bound is reached.
    AtMost,
    /// The store pushed back.
    GaveWay {
        /// "throttled" or "failed".
        push: &'static str,
        /// The limit then.
        from: u32,
        /// The limit now.
        to: u32,
    },
    /// The store refuses everything, and is left alone for a while.
    Resting,
    /// The store takes what was too much for it before.
    Reopened {
        /// How much that is.
        at: u32,
    },
    /// The rate changed by itself, so that everything is tried anew.
    Moved {
        /// See [`Why::Rose`].
        brought: i64,
    },
}

/// A ratio as a change in per cent.
pub(super) fn change(ratio: f64) -> i64 {
    let percent = ((ratio - 1.0) * 100.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "clamped right here")]
    let percent = percent.clamp(-100.0, 9_999.0) as i64;
    percent
}

fn step(from: u32, to: u32) -> i64 {
    change(f64::from(to) / f64::from(from.max(1)))
}

impl Why {
    pub(super) fn rose(from: u32, to: u32, ratio: f64) -> Self {
        Self::Rose { by: step(from, to), brought: change(ratio) }
    }

    pub(super) fn fell(from: u32, to: u32, ratio: f64) -> Self {
        Self::Fell { by: step(from, to), brought: change(ratio) }
    }

    pub(super) fn held(home: u32, tried: u32, ratio: f64) -> Self {
        Self::Held { by: step(home, tried), brought: change(ratio) }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting: nothing is measured yet"),
            Self::Fixed => f.write_str("fixed by the settings"),
            Self::NotNeeded => f.write_str("held: there is less work than it may take"),
            Self::Rose { by, brought } => write!(f, "rising: {by:+} % brought {brought:+} %"),
            Self::Fell { by, brought } => write!(f, "lowered: {by:+} % brought {brought:+} %"),
            Self::Held { by, brought } => write!(f, "held: {by:+} % brought {brought:+} %"),
            Self::AtMost => f.write_str("held: the settings allow no more"),
            Self::GaveWay { push, from, to } => write!(f, "lowered from {from} to {to}: the store {push}"),
            Self::Resting => f.write_str("resting: the store refuses everything"),
            Self::Reopened { at } => write!(f, "rising: the store takes {at} again"),
            Self::Moved { brought } => write!(f, "trying anew: the rate changed by {brought:+} %"),
        }
    }
}
