//! The sections, one file per noun.

mod backend;
mod push;
mod s3;
mod staging;

pub use backend::{BackendConfig, BackendKind, RetryConfig};
pub use push::PushConfig;
pub use s3::S3Config;
pub use staging::{StagingConfig, StagingKind};
