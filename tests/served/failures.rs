//! The journeys of `failures.rs` against a server.

#[path = "../failures.rs"]
mod failures;
