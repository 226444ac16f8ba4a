//! The journeys of `proving.rs` by a fleet.

#[path = "../proving.rs"]
mod proving;
