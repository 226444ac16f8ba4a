//! Pushing a tree: walk → diff → read → offer → seal → send → entries → manifest → commit.
//!
//! The walk and what is known of the last version are two streams in the same order; [`diff`] merges them into batches,
//! several batches are read, sealed and sent at once, and their results come back in order, so that the next stat cache is
//! written as a stream as well. Memory follows from the byte budget and the batch sizes, not from the tree.

mod base;
mod batch;
mod diff;
mod error;
mod holes;
mod large;
mod manifest;
mod measure;
mod options;
mod read;
mod run;
mod scope;
mod seals;
mod stat_cache;

pub use error::PushError;
pub use options::{Problem, Progress, PushDeps, PushOptions, PushReport, SilentProgress, Source};
pub use run::push;
