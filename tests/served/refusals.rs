//! The journeys of `refusals.rs` against a server.

#[path = "../refusals.rs"]
mod refusals;
