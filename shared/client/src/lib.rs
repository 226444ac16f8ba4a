#![doc = include_str!("../README.md")]

pub mod pull;
pub mod push;
pub mod seam;
pub mod tree;
