//! What n2s counts, in the text form that Prometheus reads.
//!
//! Every family is a constant of [`families`], the only place where one can be made: a name, a label or a unit that the table does
//! not have does not compile, and the page for people is written from the same table. Whoever counts asks once for the [`Counter`]
//! of its labels and keeps it, so that counting is an addition to an atomic: no lock, no text.
//!
//! Rejected: the `metrics` facade with its Prometheus exporter, where names are text at each call, a handle that was made before the
//! recorder counts into nothing, and a gauge that is true only while this process holds an office cannot be taken back; and two
//! dozen further crates for what are two hundred lines here. Rejected, too: gauges asked from the catalog at each scrape, which
//! would let whoever scrapes decide what the database does.

mod about;
pub mod families;
mod page;
mod series;
mod text;

pub use about::{About, Family, Kind};
pub use page::page;
pub use series::{Counter, Counters, Durations, Gauge, GaugeGuard, Gauges, Timer};
pub use text::render;

/// What the answer to a scrape is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
