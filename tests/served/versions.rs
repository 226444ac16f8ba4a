//! The journeys of `versions.rs` against a server.

#[path = "../versions.rs"]
mod versions;
