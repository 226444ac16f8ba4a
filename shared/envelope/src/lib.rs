#![doc = include_str!("../README.md")]

pub mod chunk;
mod compress;
mod error;
#[cfg(test)]
mod examples;
mod hash;
mod keys;
pub mod manifest;
mod metadata;
mod open;
mod seal;
mod vault;

pub use chunk::{Chunk, Chunker};
pub use error::EnvelopeError;
pub use hash::{WholeFileHasher, content_hash, sealed_hash};
pub use metadata::{Kind, Metadata};
pub use open::{Expect, Header, Opened, Opener, peek};
pub use seal::{Sealed, Sealer};
pub use vault::{Vault, VaultError};
