#![doc = include_str!("../README.md")]

mod config;
mod manifest;
mod path;
mod scratch;
mod sealed;
mod sealing;
mod vault;

pub use config::config;
pub use manifest::manifest;
pub use path::path;
pub use sealed::sealed;
pub use vault::vault;

/// A target's inputs begin with a digit that says what the rest is.
fn split(bytes: &[u8], modes: u8) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (first.wrapping_sub(b'0') % modes, rest))
}
