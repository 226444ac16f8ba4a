//! The client.

pub mod pull;
pub mod push;
pub mod seam;
pub mod tree;
