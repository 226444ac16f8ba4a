//! The journeys of `cost.rs` by a fleet.

#[path = "../cost.rs"]
mod cost;
