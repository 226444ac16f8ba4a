//! Buckets that misbehave, end to end: what goes wrong at a store costs time, and its objects no budget.
//!
//! A real S3 server stands behind a proxy that spoils what a rule names, and counts it; each test shows that its fault happened.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod denied;
mod reading;
mod stage;
mod staging;
mod writing;
