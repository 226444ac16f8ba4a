//! What a method decides between two of its statements, once for every database.
//!
//! A method reads rows, decides, and writes. Reading and writing are an implementation's own, locks and all; the decision must be the
//! same everywhere, so it stands here, free of input and output. What is a rule of n2s rather than a step of such a method is in
//! `n2s_domain`; what a single row says is in [`crate::rows`].

pub mod entering;
pub mod finishing;
pub mod opening;
pub mod proving;
pub mod settling;
