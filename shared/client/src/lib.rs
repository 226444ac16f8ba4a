//! The client.

pub mod seam;
pub mod tree;
