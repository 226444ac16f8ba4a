//! The client.

pub mod push;
pub mod seam;
pub mod tree;
