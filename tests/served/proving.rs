//! The journeys of `proving.rs` against a server.

#[path = "../proving.rs"]
mod proving;
