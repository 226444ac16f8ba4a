#![doc = include_str!("../README.md")]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod key;
pub mod layout;
mod limited;
mod meter;
mod metered;
mod staging;
mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod timed_out;
mod verified;

pub use error::StorageError;
pub use key::{InvalidKey, ObjectKey};
pub use limited::Limited;
pub use metered::Metered;
pub use staging::{Staged, Staging, StagingKey};
pub use storage::{Body, Get, Listed, Put, Stat, Storage, StorageExt, Stored};
pub use timed_out::TimedOut;
pub use verified::Verified;
