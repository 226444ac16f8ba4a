//! The journeys of `versions.rs` by a fleet.

#[path = "../versions.rs"]
mod versions;
