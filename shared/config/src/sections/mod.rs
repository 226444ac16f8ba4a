//! The sections, one file per noun.

mod api;
mod backend;
mod push;
mod staging;

pub use api::ApiConfig;
pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use push::PushConfig;
pub use staging::StagingConfig;
