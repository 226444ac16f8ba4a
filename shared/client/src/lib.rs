#![doc = include_str!("../README.md")]

mod budget;
mod cpu;
pub mod http;
pub mod pull;
pub mod push;
pub mod seam;
pub mod tree;
pub mod wire;
