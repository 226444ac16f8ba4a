//! The journeys of `refusals.rs` by a fleet.

#[path = "../refusals.rs"]
mod refusals;
