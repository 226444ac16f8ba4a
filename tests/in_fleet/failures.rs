//! The journeys of `failures.rs` by a fleet.

#[path = "../failures.rs"]
mod failures;
