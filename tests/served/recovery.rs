//! The journeys of `recovery.rs` against a server.

#[path = "../recovery.rs"]
mod recovery;
