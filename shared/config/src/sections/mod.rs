//! The sections, one file per noun.

mod backend;
mod database;
mod push;
mod queue;
mod staging;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use database::{DatabaseConfig, DatabaseUrl};
pub use push::PushConfig;
pub use queue::QueueConfig;
pub use staging::StagingConfig;
