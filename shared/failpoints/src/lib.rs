#![doc = include_str!("../README.md")]
//!
//! Rejected: the crate `fail`. Its points are strings that nobody can list before they were reached, so that a misspelled or a
//! forgotten one looks like a passed test; it panics, returns or sleeps but does not kill; and it, its logger and its random numbers
//! are compiled into every crate that has a point even when the points are off. What is needed here is smaller than its
//! configuration. Also rejected: killing from outside at random moments alone, which in a thousand runs misses the moment between a
//! commit and the line after it (they are done, too, on top).

mod points;

#[cfg(feature = "failpoints")]
mod armed;
#[cfg(not(feature = "failpoints"))]
mod unarmed;

#[cfg(feature = "failpoints")]
pub use armed::{clock, failpoint, put, stored};
pub use points::Point;
#[cfg(not(feature = "failpoints"))]
pub use unarmed::{clock, failpoint, put, stored};
