//! The journeys of `cost.rs` against a server.

#[path = "../cost.rs"]
mod cost;
