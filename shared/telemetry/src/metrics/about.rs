//! What is said of a family, to machines and to people.

use super::text::Sample;

/// How the numbers of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by class, with their count and sum.
    Histogram,
}

impl Kind {
    /// The exposition's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family's name and meaning.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// `n2s_…`; ends in its unit, counters then in `_total`.
    pub name: &'static str,
    /// The base unit: `seconds`, `bytes`, `objects`, …
    pub unit: &'static str,
    /// One line: what it counts, when it is absent.
    pub help: &'static str,
}

/// A family of any kind, with what it counted.
pub trait Family: Sync {
    /// Its name and meaning.
    fn about(&self) -> &About;
    /// How its numbers behave.
    fn kind(&self) -> Kind;
    /// The names of its labels.
    fn labels(&self) -> &[&'static str];
    /// Its numbers now, ordered by labels.
    fn samples(&self) -> Vec<Sample>;
}
