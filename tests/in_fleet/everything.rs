//! The journeys of `everything.rs` by a fleet.

#[path = "../everything.rs"]
mod everything;
