//! The journeys of `trees.rs` against a server.

#[path = "../trees.rs"]
mod trees;
