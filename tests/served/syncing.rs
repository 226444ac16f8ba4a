//! The journeys of `syncing.rs` against a server.

#[path = "../syncing.rs"]
mod syncing;
