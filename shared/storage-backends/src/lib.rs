#![doc = include_str!("../README.md")]

mod local;
pub mod s3;

pub use local::LocalStore;
pub use s3::{S3Options, S3Store};
