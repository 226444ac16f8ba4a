//! The journeys of `outages.rs` by a fleet.

#[path = "../outages.rs"]
mod outages;
