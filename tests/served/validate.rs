//! The journeys of `validate.rs` against a server.

#[path = "../validate.rs"]
mod validate;
