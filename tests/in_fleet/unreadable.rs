//! The journeys of `unreadable.rs` by a fleet.

#[path = "../unreadable.rs"]
mod unreadable;
