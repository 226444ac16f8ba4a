//! The sections, one file per noun.

mod backend;
mod database;
mod push;
mod staging;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use database::{DatabaseConfig, DatabaseUrl};
pub use push::PushConfig;
pub use staging::StagingConfig;
