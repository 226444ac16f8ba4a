//! The journeys of `trees.rs` by a fleet.

#[path = "../trees.rs"]
mod trees;
