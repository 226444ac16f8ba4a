//! The journeys of `syncing.rs` by a fleet.

#[path = "../syncing.rs"]
mod syncing;
