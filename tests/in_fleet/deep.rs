//! The journeys of `deep.rs` by a fleet.

#[path = "../deep.rs"]
mod deep;
