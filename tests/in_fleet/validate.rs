//! The journeys of `validate.rs` by a fleet.

#[path = "../validate.rs"]
mod validate;
