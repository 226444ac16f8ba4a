//! The journeys of `recovery.rs` by a fleet.

#[path = "../recovery.rs"]
mod recovery;
